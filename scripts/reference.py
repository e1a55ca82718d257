"""Write docs/cli.md from the commands, docs/variables.md from the roles' argument specs, and the tables of docs/api.md.

`make docs` runs it. Nobody writes these by hand, and a test holds them equal to what this makes.
"""

import json
import re
from collections.abc import Iterator, Mapping
from pathlib import Path
from typing import Any

import click
import yaml

from fleetmint.cli import root
from scripts.reference_api import routes

ROOT = Path(__file__).resolve().parents[1]
MADE = "<!-- Made by `make docs` from {}. Change those, not this page. -->\n"

# In the order in which a site needs them.
ROLES = (
    "preflight", "ca", "operators", "service_certificates", "controller", "gateway_base", "gateway_firewall",
    "gateway_time", "signing_service", "gateway_certificates", "nginx", "mosquitto", "gateway_alarms", "factory",
    "revocation", "verification", "ca_rollover", "ca_ceremony",
)  # fmt: skip


def main() -> None:
    """Write the pages."""
    for name, text in pages().items():
        (ROOT / "docs" / name).write_text(text)


def pages() -> dict[str, str]:
    """Return the text of each page by its file name."""
    return {"api.md": _api(), "cli.md": "\n".join(_cli()), "variables.md": "\n".join(_variables())}


def _api() -> str:
    made = MADE.format("`src/fleetmint/service/api/`").replace("this page", "what follows")
    by_hand = (ROOT / "docs/api.md").read_text().partition(made)[0]
    return "\n".join([f"{by_hand}{made}", *routes()]) + "\n"


# --- commands ---


def _cli() -> Iterator[str]:
    yield "# The commands\n"
    yield MADE.format("the help texts in `src/fleetmint/cli/`")
    yield (
        "Every command has `--help`. Exit codes: 0 done, 1 refused or failed, with one sentence on stderr that says"
        " what to\ndo, 2 wrong usage. With `--json` a command prints one JSON object on stdout, with times in ISO 8601,"
        " UTC; sentences\nstay on stderr.\n"
    )
    context = click.Context(root, info_name="fleetmint")
    for name in root.list_commands(context):
        yield from _command(root.get_command(context, name), f"fleetmint {name}", context)


def _command(command: click.Command | None, path: str, parent: click.Context) -> Iterator[str]:
    if command is None or command.hidden:
        return
    context = click.Context(command, info_name=path.split()[-1], parent=parent)
    yield f"{'#' * len(path.split())} {path}\n"
    yield f"{_prose(command.help or '')}\n"
    if not isinstance(command, click.Group):
        usage = " ".join((path, *command.collect_usage_pieces(context)))
        yield f"```text\n{usage}\n```\n"
    options = [each for each in command.params if isinstance(each, click.Option) and not each.hidden]
    if options:
        yield "\n".join(_option(each, context) for each in options) + "\n"
    examples = (command.epilog or "").replace("\b", "").partition("Examples:")[2].strip().splitlines()
    if examples and not isinstance(command, click.Group):
        yield "```console\n" + "\n".join(f"$ {_remark(line.strip())}" for line in examples) + "\n```\n"
    if isinstance(command, click.Group):
        for name in command.list_commands(context):
            yield from _command(command.get_command(context, name), f"{path} {name}", context)


def _option(option: click.Option, context: click.Context) -> str:
    record = option.get_help_record(context)
    names, text = record if record is not None else (", ".join(option.opts), "")
    return f"- `{names}`: {_prose(text)}"


def _remark(line: str) -> str:
    """Return an example with its remark, which stands behind wide blanks, as a comment."""
    command, *remark = re.split(r" {3,}", line, maxsplit=1)
    return f"{command}   # {remark[0]}" if remark else command


def _prose(text: str) -> str:
    """Return a help text as paragraphs of one line each; what stands verbatim in it stays so."""
    paragraphs = []
    for paragraph in re.split(r"\n\s*\n", text.strip()):
        if paragraph.startswith("\b"):
            paragraphs.append("```text\n" + paragraph.removeprefix("\b").strip("\n") + "\n```")
        else:
            paragraphs.append(" ".join(paragraph.split()))
    return "\n\n".join(paragraphs)


# --- variables ---


def _variables() -> Iterator[str]:
    roles = _roles()
    yield "# The variables\n"
    yield MADE.format("`roles/*/meta/argument_specs.yml`")
    yield (
        "They stand in `inventory/<site>/group_vars/`; a batch file has fields of its own ([factory.md](factory.md))."
        " What has no\ndefault has to be said. `inventory/sample/` sets what a site usually says.\n"
    )
    yield "## Of the whole site\n"
    site: dict[str, tuple[Mapping[str, Any], list[str]]] = {}
    for role, options in roles.items():
        for name, option in options.items():
            if name.startswith("fleet_"):
                site.setdefault(name, (option, []))[1].append(role)
    for name, (option, readers) in sorted(site.items()):
        known = "" if readers == ["preflight"] else f" Read by {', '.join(readers)}."
        yield from _variable(name, option, known)
    yield ""
    for role, options in roles.items():
        own = {name: option for name, option in options.items() if not name.startswith("fleet_")}
        if own:
            yield f"## {role}\n\n{_markup(_specs(role)['main']['short_description'])}.\n"
            for name, option in own.items():
                yield from _variable(name, option)
            yield ""


def _variable(name: str, option: Mapping[str, Any], more: str = "", indent: str = "") -> Iterator[str]:
    kind = option.get("type", "str")
    about = [f"{kind} of {option['elements']}" if "elements" in option else kind]
    if "choices" in option:
        about.append("one of " + ", ".join(f"`{_literal(each)}`" for each in option["choices"]))
    if "default" in option:
        about.append(f"default `{_literal(option['default'])}`")
    elif option.get("required"):
        about.append("has to be said")
    described = option.get("description", "")
    text = " ".join(described) if isinstance(described, list) else described
    yield f"{indent}- `{name}` ({'; '.join(about)}): {_markup(' '.join(text.split()))}{more}"
    for below, inner in option.get("options", {}).items():
        yield from _variable(below, inner, indent=f"{indent}  ")


def _literal(value: object) -> str:
    return value if isinstance(value, str) and value else json.dumps(value)


def _markup(text: str) -> str:
    """Return a description with Ansible's marks as Markdown's."""
    return re.sub(r"\b[COVEM]\(([^)]*)\)", r"`\1`", text)


def _roles() -> dict[str, dict[str, Mapping[str, Any]]]:
    """Return the options of each role, those of all its entry points."""
    names = [path.parents[1].name for path in (ROOT / "roles").glob("*/meta/argument_specs.yml")]
    ordered = sorted(names, key=lambda name: (ROLES.index(name) if name in ROLES else len(ROLES), name))
    return {
        name: {key: value for point in _specs(name).values() for key, value in point.get("options", {}).items()}
        for name in ordered
    }


def _specs(role: str) -> dict[str, Any]:
    text = (ROOT / "roles" / role / "meta/argument_specs.yml").read_text()
    specs: dict[str, Any] = yaml.safe_load(text)["argument_specs"]
    return specs


if __name__ == "__main__":
    main()

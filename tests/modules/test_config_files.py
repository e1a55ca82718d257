"""Files of a service, written at once: check, apply, repeat, change one thing, a candidate that does not work."""

import stat


def tree(directory, **changed):
    files = {"etc/a.conf": "one\n", "etc/sub/b.conf": f"include {directory}/etc/a.conf\n", **changed}
    return [{"path": f"{directory}/{name}", "content": text} for name, text in files.items()]


def test_files_and_directories_are_written_once(module, tmp_path):
    root = tmp_path / "root"
    files = [{"path": f"{root}/private", "mode": "0700"}, *tree(root)]
    predicted, _ = module("config_files", "--check", files=files)
    assert predicted["changed"]
    assert not root.exists()
    made, _ = module("config_files", files=files)
    assert made["reasons"] == predicted["reasons"]
    assert (root / "etc/a.conf").read_text() == "one\n"
    assert stat.S_IMODE((root / "etc/a.conf").stat().st_mode) == 0o644
    assert stat.S_IMODE((root / "private").stat().st_mode) == 0o700
    assert not module("config_files", files=files)[0]["changed"]


def test_what_differs_is_named_and_shown_and_put_right(module, tmp_path):
    module("config_files", files=tree(tmp_path))
    (tmp_path / "etc/a.conf").write_text("other\n")
    (tmp_path / "etc/sub/b.conf").chmod(0o600)
    result, said = module("config_files", "--diff", files=tree(tmp_path))
    assert result["changed_paths"] == [f"{tmp_path}/etc/a.conf", f"{tmp_path}/etc/sub/b.conf"]
    assert "has another content" in result["reasons"][0]
    assert "mode 0600, not 0644" in result["reasons"][1]
    assert "other" in said
    assert not module("config_files", files=tree(tmp_path))[0]["changed"]


def test_a_candidate_that_does_not_work_changes_nothing(module, tmp_path):
    files = tree(tmp_path)
    module("config_files", files=files)
    broken = tree(tmp_path, **{"etc/a.conf": "two\n"})
    failed, _ = module("config_files", files=broken, validate=["/bin/sh", "-c", "echo no good >&2; exit 3"])
    assert failed["msg"].endswith("the old ones stay: /bin/sh says: no good")
    assert (tmp_path / "etc/a.conf").read_text() == "one\n"
    assert sorted(path.name for path in (tmp_path / "etc").iterdir()) == ["a.conf", "sub"]


def test_a_known_failure_of_a_candidate_comes_with_what_to_do(module, tmp_path):
    hints = {"97: Address": "Set nginx_addresses", "98: Address": "Stop the other"}
    proof = ["/bin/sh", "-c", "echo 'socket() failed (97: Address family not supported)' >&2; exit 1"]
    failed, _ = module("config_files", files=tree(tmp_path), validate=proof, hints=hints)
    assert failed["msg"].endswith("(97: Address family not supported). Set nginx_addresses")


def test_the_candidate_is_proven_as_a_whole(module, tmp_path):
    # the staged file names its staged sibling, so what is proven is not what is live
    proof = ["/bin/sh", "-c", "cat $(sed 's/include //' {stage}" + f"{tmp_path}/etc/sub/b.conf) | grep -q two"]
    changed = tree(tmp_path, **{"etc/a.conf": "two\n"})
    assert module("config_files", files=changed, validate=proof)[0]["changed"]
    assert (tmp_path / "etc/sub/b.conf").read_text() == f"include {tmp_path}/etc/a.conf\n"


def test_a_run_that_was_interrupted_is_made_good_by_the_next(module, tmp_path):
    pending = tmp_path / "run/pending"
    module("config_files", files=tree(tmp_path), pending=str(pending))
    assert pending.exists()
    again, _ = module("config_files", files=tree(tmp_path), pending=str(pending))
    assert again["changed"]
    assert len(again["changed_paths"]) == 2
    pending.unlink()  # the handlers' work
    assert not module("config_files", files=tree(tmp_path), pending=str(pending))[0]["changed"]
    assert not pending.exists()


def test_an_account_that_does_not_exist_is_named(module, tmp_path):
    files = [{"path": f"{tmp_path}/file", "content": "x", "owner": "nobody-of-that-name", "group": "root"}]
    assert module("config_files", "--check", files=files)[0]["changed"]
    assert "there is no account nobody-of-that-name:root" in module("config_files", files=files)[0]["msg"]
    assert not (tmp_path / "file").exists()


def test_what_somebody_else_writes_at_the_end_stays(module, tmp_path):
    path = tmp_path / "rules"
    options = {"files": [{"path": str(path), "content": "one\n", "keep_from": "# theirs"}]}
    module("config_files", **options)
    assert path.read_text() == "one\n"
    path.write_text("one\n\n# theirs\ndeny\n")
    assert not module("config_files", **options)[0]["changed"]
    options["files"][0]["content"] = "two\n"
    assert module("config_files", **options)[0]["changed"]
    assert path.read_text() == "two\n\n# theirs\ndeny\n"


def test_what_an_earlier_version_wrote_is_removed_once(module, tmp_path):
    files, old = tree(tmp_path), tmp_path / "etc/old.conf"
    module("config_files", files=files)
    old.touch()
    options = {"files": files, "remove": [str(old)]}
    assert module("config_files", "--check", **options)[0]["reasons"] == [f"{old} is no longer needed"]
    assert old.exists()
    assert module("config_files", **options)[0]["changed_paths"] == [str(old)]
    assert not old.exists()
    assert not module("config_files", **options)[0]["changed"]


def test_the_old_names_of_module_and_lookup_work_with_a_line_that_says_the_new_one(module, tmp_path, monkeypatch):
    monkeypatch.setenv("ANSIBLE_DEPRECATION_WARNINGS", "1")
    done, printed = module("tree", files=tree(tmp_path))
    assert done["changed"]
    assert "The module tree is called config_files now." in " ".join(printed.split())
    lookup = "{{ lookup('fleetmint.core.shipped', 'root', directory='/none', gateway='gateway') }}"
    failed, printed = module("config_files", files=[{"path": f"{tmp_path}/file", "content": lookup}])
    assert "there is no /none" in failed["msg"]
    assert "The lookup shipped is called gateway_files now." in " ".join(printed.split())

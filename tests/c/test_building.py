"""How the tests build the C core: strictly, under the sanitizers, and nothing twice."""

import pytest

from tests.support.c_build import Build, run

OVERREAD = """
char text[2];
__attribute__((noinline)) static char at(const char *from, int n) { return from[n]; }
int main(int n, char **v) { return at(text, n + 1) && v == 0; }
"""
UNDEFINED = "int main(int n, char **v) { int most = 0x7fffffff; most += n; return most == 0 && v == 0; }\n"
CONVERSION = "int main(int n, char **v) { char c = n; return c && v == 0; }\n"


@pytest.mark.parametrize(
    ("program", "told"), [(OVERREAD, "global-buffer-overflow"), (UNDEFINED, "signed integer overflow")]
)
def test_a_program_that_does_what_c_forbids_fails_its_test(build, tmp_path, program, told):
    source = tmp_path / "bad.c"
    source.write_text(program)
    with pytest.raises(AssertionError, match=told):
        run(build.program(source))


def test_a_warning_of_the_compiler_fails_its_test(build, tmp_path):
    source = tmp_path / "bad.c"
    source.write_text(CONVERSION)
    with pytest.raises(AssertionError, match="Werror=conversion"):
        build.program(source)


def test_a_source_is_compiled_again_only_when_it_or_a_header_has_changed(tmp_path):
    core = tmp_path / "core"
    (core / "include").mkdir(parents=True)
    source, header = core / "one.c", core / "include" / "one.h"
    source.write_text('#include "one.h"\nint main(void) { return ONE; }\n')
    header.write_text("#define ONE 0\n")

    def compiled(**changes):
        return Build(tmp_path / "objects", core=core, **changes).compiled("one.c")

    first = compiled()
    made = first.stat().st_mtime_ns
    assert (compiled(), compiled().stat().st_mtime_ns) == (first, made)
    header.write_text("#define ONE 1\n")
    assert compiled() != first
    assert compiled(flags=("-O2",)) != first


def test_c_and_arduino_s_c_plus_plus_go_into_one_program(build, tmp_path):
    (tmp_path / "half.c").write_text("int half(int n); int half(int n) { return n / 2; }\n")
    main = '#include <cstdio>\nextern "C" int half(int n);\nint main() { std::printf("%d", half(84)); }\n'
    (tmp_path / "main.cpp").write_text(main)
    assert run(build.program(tmp_path / "main.cpp", tmp_path / "half.c")) == b"42"

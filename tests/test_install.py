"""test_install.py BUILD-FOLDER EXAMPLE.c CC-ARGUMENT...

Installs tally into a folder, builds the example with pkg-config's flags, and runs the example and the command.
"""
import os
import subprocess
import sys
import tempfile


def run_command(*command, **options):
    done = subprocess.run(command, capture_output=True, text=True, **options)
    if done.returncode != 0:
        sys.exit("%s: exit %d\n%s%s" % (" ".join(command), done.returncode, done.stdout, done.stderr))
    return done.stdout


def main():
    build, example, compiler = sys.argv[1], sys.argv[2], sys.argv[3:]
    with tempfile.TemporaryDirectory() as folder:
        run_command("meson", "install", "--no-rebuild", "-C", build, "--destdir", folder)
        found = {}
        for root, _, names in os.walk(folder):
            for name in names:
                found[name] = os.path.join(root, name)
        for name in ("tally", "libtally.so.0", "tally.pc", "tally.h", "tensor.h", "train.h"):
            if name not in found:
                sys.exit("%s is not installed; there is: %s" % (name, ", ".join(sorted(found))))
        library = os.path.dirname(found["libtally.so.0"])
        soname = run_command("readelf", "-d", found["libtally.so.0"])
        if "soname: [libtally.so.0]" not in soname:
            sys.exit("libtally.so.0 has another soname:\n" + soname)
        environment = dict(os.environ, PKG_CONFIG_PATH=os.path.dirname(found["tally.pc"]),
                           PKG_CONFIG_SYSROOT_DIR=folder, LD_LIBRARY_PATH=library)
        flags = run_command("pkg-config", "--cflags", "--libs", "tally", env=environment).split()
        program = os.path.join(folder, "example")
        run_command(*compiler, example, "-o", program, *flags)
        print(run_command(program, cwd=folder, env=environment), end="")
        version = run_command(found["tally"], "--version", env=environment)
        wanted = run_command("pkg-config", "--modversion", "tally", env=environment).strip()
        if wanted not in version:
            sys.exit("the command says %r, pkg-config %r" % (version, wanted))


main()

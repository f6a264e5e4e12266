#!/bin/sh
# Make the environment `.venv`, or keep a sound one. The Makefile runs this script before everything that needs Python.
#
#   sh environment.sh run            install what `make run` and `make serve` need; `dev` and `bench` are larger sets
#   sh environment.sh doctor [...]   name the Python that is used, or the remedy; then run src/doctor.py [...] with it
#
# The variable PYTHON names the Python that makes .venv. Without PYTHON, the newest usable Python on the PATH makes it.
# The stamp .venv/made-from is written last. If it is missing or not as expected, .venv is made again from nothing.
set -fu
case $0 in */*) cd "${0%/*}" || exit ;; esac
folder=$(pwd -P)
stamp=.venv/made-from
installed=.venv/installed
python='' # the Python that makes the environment, once it is chosen
tab=$(printf '\t')
newline='
'
EXPECTED='expected CPython 3.11, 3.12 or 3.13 with its modules venv and ensurepip'

print_line() {
    printf '%s\n' "$1"
}

fail() { # STATUS SENTENCE: 2 for wrong input, 1 if a retry may succeed
    print_line "$2" >&2
    exit "$1"
}

# --- The Python

# Runs in any Python, even 2.7. Prints the release, "usable" or what is wrong, the path, and the path without links.
PROBE='
import os, struct, sys, sysconfig

def libc():
    try:
        return os.confstr("CS_GNU_LIBC_VERSION") or ""
    except (ValueError, OSError):
        return ""

def verdict():
    if not (3, 11) <= sys.version_info[:2] <= (3, 13):
        return "too " + ("old" if sys.version_info < (3, 11) else "new")
    if sys.implementation.name != "cpython":
        return "%s instead of CPython" % sys.implementation.name
    if sysconfig.get_config_var("Py_GIL_DISABLED"):
        return "a free-threaded build"
    if struct.calcsize("P") != 8:
        return "a 32-bit build"
    if sys.platform == "darwin" and os.uname()[4] != "arm64":
        return "a build for Intel processors"
    if sys.platform == "linux" and not libc().startswith("glibc "):
        return "on a system without glibc"
    if sys.platform == "linux" and tuple(map(int, libc()[6:].split(".")[:2])) < (2, 28):
        return "on %s, older than 2.28" % libc()
    for name in ("venv", "ensurepip", "ssl", "zlib", "bz2", "lzma", "ctypes"):
        try:
            module = __import__(name)
            if name == "ensurepip":
                module.version()
        except Exception:
            return "without its module " + name
    return "usable"

path = getattr(sys, "_base_executable", None) or sys.executable
path = path if os.path.isfile(path) else sys.executable
release = "%d.%d.%d" % sys.version_info[:3]
sys.stdout.write("\n" + "\t".join((release, verdict(), path, os.path.realpath(path))))
'

consider() { # PROGRAM: choose it if it is usable and the newest so far; if it is not usable, note why
    answer=$("$1" -E -s -c "$PROBE" </dev/null 2>/dev/null)
    answer=${answer##*"$newline"}
    case $answer in
    *"$tab"*"$tab"*"$tab"*) ;;
    *)
        error=$("$1" -E -s -c '' </dev/null 2>&1 | sed -n 1p)
        not_python=${not_python:-"$1 is not a working Python${error:+ ($error)}"}
        return
        ;;
    esac
    release=${answer%%"$tab"*} answer=${answer#*"$tab"}
    verdict=${answer%%"$tab"*} answer=${answer#*"$tab"}
    version=${release%.*}
    if [ "$verdict" != usable ]; then
        case $verdict in *"module venv" | *ensurepip) incomplete=${incomplete:-$version} ;; esac
        finding="$1 is Python $release, $verdict"
        case $unsuitable in
        *"Python $release, $verdict"*) ;; # the same Python under another name
        *) unsuitable="$unsuitable${unsuitable:+; }$finding" ;;
        esac
    elif [ "${version#3.}" -gt "$minor" ]; then
        minor=${version#3.} python=${answer%%"$tab"*} python_release=$release
        made_by="python $version ${answer#*"$tab"}"
    fi
}

consider_each() { # NAME: in every folder of the PATH, since a wrapper that does not run may hide a Python that does
    wanted=$1 separator=$IFS
    IFS=:
    set -- ${PATH-}
    IFS=$separator
    for place in "$@"; do
        [ ! -f "$place/$wanted" ] || [ ! -x "$place/$wanted" ] || consider "$place/$wanted"
    done
}

choose_python() { # set python, or set problem: what was found, what is expected, what to do
    python='' minor=10 not_python='' unsuitable='' incomplete=''
    name=${PYTHON-}
    # shellcheck disable=SC2088
    case $name in
    '') for name in python3.13 python3.12 python3.11 python3 python; do
        consider_each "$name"
        [ "$minor" != 13 ] || break
    done ;;
    "~/"*) name=${HOME-}/${name#"~/"} ;;
    esac
    case ${PYTHON:+$name} in
    '') ;;
    */*) if [ -d "$name" ]; then
        unsuitable="it is a folder"
    elif [ -e "$name" ]; then
        consider "$name"
    else
        unsuitable="there is no such file"
    fi ;;
    *) consider_each "$name" ;;
    esac
    [ -z "$python" ] || return 0
    found=${unsuitable:-${not_python:-there is no such program on the PATH}}
    remedy='install one (apt install python3.12-venv or brew install python@3.13)'
    [ -z "$incomplete" ] || remedy="run apt install python$incomplete-venv (Debian, Ubuntu)"
    case $found in *"without its module "[!ve]*) remedy='rebuild it with the headers of that library' ;; esac
    case $found in *glibc*) remedy='use a system with glibc 2.28 or later, such as Debian, or a Debian container' ;; esac
    if [ -n "${PYTHON-}" ]; then
        problem="PYTHON is $PYTHON: $found; $EXPECTED; name another, leave PYTHON out, or $remedy"
    else
        problem="No Python on the PATH can be used: $found; $EXPECTED; $remedy, or name one with PYTHON=<path>"
    fi
    return 1
}

# --- The machine and the folder

machine=$(uname -sm)

check_machine() {
    case $machine in
    'Linux x86_64' | 'Linux aarch64' | 'Linux arm64' | 'Darwin arm64') return 0 ;;
    Darwin*) remedy='use a container or a machine with Linux' ;;
    MINGW* | MSYS* | CYGWIN* | Windows*) remedy='use the Windows Subsystem for Linux' ;;
    *) remedy='use one of those' ;;
    esac
    if [ "$(sysctl -n sysctl.proc_translated 2>/dev/null)" = 1 ]; then
        remedy='use a terminal and a make that do not run under Rosetta'
    fi
    problem="This machine is $machine, for which TensorFlow has no packages; expected Linux with glibc"
    problem="$problem on x86-64 or arm64, or macOS on Apple silicon; $remedy"
    return 1
}

check_compiler() { # on Linux on arm64, pip compiles psutil
    case $machine in 'Linux a'*) ;; *) return 0 ;; esac
    command -v gcc >/dev/null || command -v cc >/dev/null || {
        problem='There is no C compiler, which psutil needs on Linux on arm64; expected gcc or cc on the PATH;'
        problem="$problem run apt install gcc libc6-dev python${made_by#python }"
        problem="${problem% /*}-dev"
        return 1
    }
}

check_folder() {
    if [ -L .venv ]; then
        problem="$folder/.venv is a link, and making the environment would empty its target; expected a folder"
    elif [ -e .venv ] && [ ! -d .venv ]; then
        problem="$folder/.venv is a file; expected a folder or nothing"
    elif [ ! -w . ] && [ ! -d .venv ] || { [ -d .venv ] && [ ! -w .venv ]; }; then
        problem="$folder/.venv is not writable; expected a folder of this user; change its owner, or clone again"
        return 1
    else
        return 0
    fi
    problem="$problem; move it away"
    return 1
}

# --- The environment

sets_of() { # SET: the set and the smaller sets that it contains
    case $1 in run) echo run ;; dev) echo run dev ;; bench) echo run dev bench ;; esac
}

files_of() {
    case $1 in bench) echo requirements/dev.txt requirements/bench.txt ;; *) echo "requirements/$1.txt" ;; esac
}

line_of() { # SET: the line of the stamp for it
    print_line "$1 $(cksum <"requirements/$1.txt")"
}

sound() { # .venv was made here, on this kind of machine, by PYTHON if set; its Python runs and its packages exist
    [ -f "$stamp" ] && [ ! -L .venv ] || return 1
    { IFS= read -r its_folder && IFS= read -r its_machine && IFS= read -r its_python; } <"$stamp" || return 1
    [ "$its_folder" = "folder $folder" ] && [ "$its_machine" = "machine $machine" ] || return 1
    [ -z "${PYTHON-}" ] || [ "$its_python" = "$made_by" ] || return 1
    runs=$(.venv/bin/python -E -s -c 'import sys
print("python %d.%d" % sys.version_info[:2] if sys.prefix != sys.base_prefix else "no environment")' 2>/dev/null)
    case $its_python in "$runs /"*) ;; *) return 1 ;; esac
    all_installed
}

packages_of() { # LINE of the stamp, "python VERSION PATH": the folder into which pip installs
    version=${1#python } && echo ".venv/lib/python${version%% *}/site-packages"
}

all_installed() { # everything that pip installed still exists
    packages=$(packages_of "$its_python")
    [ -f "$installed" ] || return 1
    while IFS= read -r name; do
        [ -e "$packages/$name" ] || return 1
    done <"$installed"
}

compare() { # SET: set state to current, to extend (install more into .venv), or to remake
    state=remake
    sound || return 0
    lines=$newline$(sed 1,3d "$stamp")$newline
    state=current
    for name in $(sets_of "$1"); do
        case $lines in
        *"$newline$(line_of "$name")$newline"*) ;;
        *"$newline$name "*) state=remake && return 0 ;;
        *) state=extend ;;
        esac
    done
}

install() { # ARGUMENTS of pip install
    # The caller's index, find-links, certificates, proxies and time-outs stay. Every setting that changes where or what
    # pip installs gets a value here, because pip ignores an empty variable and reads pip.conf instead.
    PIP_DRY_RUN=0 PIP_CONSTRAINT=/dev/null PIP_REQUIREMENT=/dev/null \
        .venv/bin/python -m pip --disable-pip-version-check --python= install \
        --no-user --target= --prefix="$folder/.venv" --root=/ --only-binary=:none: --no-binary=:none: \
        --require-hashes --no-deps --no-build-isolation "$@" ||
        fail 1 "pip could not install the packages of .venv (its error is above); fix that and run make again"
}

wait_for_others() { # by a lock on descriptor 9, which ends with the last process that inherited it
    exec 9<.
    "${python:-.venv/bin/python}" -E -s -c '
import fcntl, signal
signal.signal(signal.SIGINT, signal.SIG_DFL)
try:
    fcntl.flock(9, fcntl.LOCK_EX | fcntl.LOCK_NB)
except BlockingIOError:
    print("another make is working on .venv; waiting for it", flush=True)
    fcntl.flock(9, fcntl.LOCK_EX)
except OSError:
    pass  # a file system without locks
'
}

free_megabytes() { # print the free space for .venv, or nothing if the file system does not report it
    { df -Pk .venv 2>/dev/null || df -Pk .; } | awk 'NR == 2 && $2 > 0 && $4 ~ /^[0-9]+$/ { print int($4 / 1024) }'
}

create() {
    # Use the path without links: an interpreter that was moved after its build finds its library only from there.
    output=$("/${made_by#*/}" -m venv --clear .venv 2>&1) ||
        fail 1 "$python could not make $folder/.venv, with $(free_megabytes) MB free: ${output##*"$newline"}"
    free=$(free_megabytes)
    [ "${free:-2400}" -ge 2400 ] ||
        fail 1 "$folder has $free MB free; expected 2400 MB for .venv; make room, or clone to a larger disk"
    # `promise` exists only as source, which the pinned setuptools builds.
    awk '/^[a-z]/ {wanted = /^(setuptools|wheel)==/} wanted' requirements/run.txt | install --requirement /dev/stdin || exit
}

fill() { # SET: make or extend .venv, depending on state
    unset PIP_EDITABLE PIP_GROUP PIP_REQUIREMENTS_FROM_SCRIPT PIP_PLATFORM PIP_PYTHON_VERSION PIP_IMPLEMENTATION PIP_ABI
    unset PIP_BUILD_CONSTRAINT PIP_GLOBAL_OPTION SETUPTOOLS_USE_DISTUTILS
    # The names contain no blanks.
    # shellcheck disable=SC2046
    unset $(awk 'BEGIN { for (name in ENVIRON) if (name ~ /^PYTHON[A-Z0-9_]+$/) print name }')
    rm -f "$stamp" || fail 1 "cannot remove $folder/$stamp; remove .venv and run make again"
    if [ "$state" = extend ]; then
        print_line "adding the packages of '$1' to .venv"
        made_by=$its_python
    else
        needs='2.4 GB on disk, 0.5 GB to download, a minute or more'
        print_line "making .venv with Python $python_release ($python): $needs"
        create
    fi
    for file in $(files_of "$1"); do install --requirement "$file"; done
    .venv/bin/python -E -s -c 'import os, sys
print(*(name for name in os.listdir(sys.argv[1]) if name != "__pycache__"), sep="\n")' "$(packages_of "$made_by")" >"$installed"
    {
        print_line "folder $folder" && print_line "machine $machine" && print_line "$made_by" &&
            for name in $(sets_of "$1"); do line_of "$name"; done
    } >"$stamp.part" && mv "$stamp.part" "$stamp" || fail 1 "cannot write $folder/$stamp; make room on the disk"
}

check_all() {
    check_machine && check_folder && { [ -n "$python" ] || choose_python; } && check_compiler
}

ensure() { # SET
    [ -z "${PYTHON-}" ] || choose_python || fail 2 "$problem"
    compare "$1"
    [ "$state" != current ] || return 0
    [ "$state" = extend ] || check_all || fail 2 "$problem"
    wait_for_others
    compare "$1"
    [ "$state" != current ] || return 0
    [ "$state" = extend ] || check_all || fail 2 "$problem"
    fill "$1"
}

report() { # ok|FAIL FINDING: print a line in the format of src/doctor.py
    printf '%-5s %-10s %s\n' "$1" python "$2"
}

doctor() { # options of src/doctor.py
    status=0
    if [ -n "${PYTHON-}" ] && ! choose_python; then
        report FAIL "$problem"
        status=1 PYTHON=''
        choose_python || exit 1 # any usable Python can run src/doctor.py
    elif compare run && [ "$state" = current ]; then
        report ok "${its_python#python }, in .venv"
        python=.venv/bin/python
    elif check_all; then
        report ok "$python_release $python, which will make .venv"
    else
        report FAIL "$problem"
        status=1
    fi
    [ -n "$python" ] || exit 1
    "$python" src/doctor.py "$@" || status=1
    exit $status
}

case ${1-} in
run | dev | bench) ensure "$1" ;;
doctor) shift && doctor "$@" ;;
*) fail 2 "environment.sh: expected run, dev, bench or doctor, not '${1-}'" ;;
esac

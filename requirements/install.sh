#!/bin/sh
# Installs the locked requirements into .venv:  install.sh cpu|gpu|dev|uv
#
# Safe to interrupt: what is there is kept, and the stamp that ends the work is written last.
# Nothing waits for ever: every download has a timeout.
set -eu
cd "$(dirname "$0")/.."
what=$1
venv=.venv
python=$venv/bin/python
uv=$venv/bin/uv

fail() { printf 'carillon: %s\n' "$*" >&2; exit 1; }
say() { printf '==> %s\n' "$*"; }

base=${PYTHON:-python3.11}
command -v "$base" >/dev/null 2>&1 ||
    fail "Python 3.11 is needed and '$base' was not found. Install it, or name it: PYTHON=/path/to/python3.11 make serve"
"$base" -c 'import sys; sys.exit(sys.version_info[:2] != (3, 11))' ||
    fail "Python 3.11 is needed; '$base' is $("$base" -V 2>&1). Name another: PYTHON=/path/to/python3.11 make serve"

# What an interrupted removal left; see below.
rm -rf "$venv-old"

# A full CPU environment takes about 5 GB.
free_kib=$(df -Pk . | awk 'NR == 2 {print $4}')
case $what in gpu) need_gib=16 ;; cpu) need_gib=6 ;; *) need_gib=1 ;; esac
[ -e "$venv/bin/ray" ] && need_gib=1
[ "$free_kib" -ge $((need_gib * 1048576)) ] ||
    fail "only $((free_kib / 1048576)) GiB of disk are free here; $need_gib GiB are needed to install"

# The other flavour's packages must not stay behind.
case $what in
cpu) other=gpu ;; gpu) other=cpu ;; *) other= ;;
esac
if [ -n "$other" ] && [ -e "$venv/.installed-$other" ]; then
    say "replacing the $other environment"
    # Away at once: half of it must not be taken for the whole if this is interrupted.
    mv "$venv" "$venv-old"
    rm -rf "$venv-old"
fi

# What an interrupted run left half made is made again: packages, and the directory itself.
speech=$venv/speech-packages
[ ! -x "$python" ] || "$python" requirements/partial.py "$venv/lib/python3.11/site-packages" "$speech" || true
"$python" -m pip show --quiet pip >/dev/null 2>&1 || {
    say "creating $venv"
    rm -rf "$venv"
    "$base" -m venv "$venv" || fail "'$base -m venv' failed; Debian and Ubuntu need the package python3.11-venv"
}

# uv does not read pip's settings: hand over those that decide where wheels come from.
pip_setting() { "$python" -m pip config get "$1" 2>/dev/null | tr -s ' \n' ',' | sed 's/^,//; s/,$//' || true; }
links=${PIP_FIND_LINKS:-$(pip_setting global.find-links)}
index=${PIP_INDEX_URL:-$(pip_setting global.index-url)}
[ -z "$links" ] || export UV_FIND_LINKS="$(printf %s "$links" | tr -s ' ' ',')"
[ -z "$index" ] || export UV_DEFAULT_INDEX="${UV_DEFAULT_INDEX:-$index}"
export UV_HTTP_TIMEOUT="${UV_HTTP_TIMEOUT:-60}" VIRTUAL_ENV="$PWD/$venv"
unset PYTHONPATH || true

offline="could not be downloaded. Check the network (and pip's settings), then run the same command again: it continues where it stopped"
pip() { "$python" -m pip --disable-pip-version-check --timeout 20 --retries 2 "$@"; }

"$uv" --version >/dev/null 2>&1 || {
    say "installing uv"
    pip install --quiet --require-hashes --requirement requirements/uv.txt || fail "uv $offline"
}
[ "$what" != uv ] || exit 0

torch_is_there() { "$python" -c "import importlib.metadata as m, sys; sys.exit('torch==' + m.version('torch') != sys.argv[1])" "$1" 2>/dev/null; }

if [ "$what" = cpu ]; then
    torch=$(grep '^torch==' requirements/torch-cpu.txt)
    torch_is_there "$torch" || {
        # Where pip is configured to look first, then PyTorch's own index.
        say "installing $torch"
        pip install --quiet --no-deps "$torch" 2>/dev/null ||
            "$uv" pip install --quiet --no-deps --torch-backend cpu "$torch" ||
            fail "$torch $offline"
    }
fi

say "installing requirements/$what.txt"
# Compiled now, once: otherwise every process of the first start compiles the same modules again.
"$uv" pip install --compile-bytecode --no-deps --require-hashes --requirement "requirements/$what.txt" ||
    fail "a package of requirements/$what.txt $offline"

if [ "$what" = cpu ]; then
    # What Coqui wants and nobody else may see: torchaudio, whose libraries are built for CUDA, without
    # them; and the name of torchcodec, so that whoever looks for it takes it as absent.
    say "installing requirements/speech-cpu.txt"
    "$uv" pip install --quiet --no-deps --require-hashes --target "$speech" --requirement requirements/speech-cpu.txt ||
        fail "a package of requirements/speech-cpu.txt $offline"
    rm -f "$speech"/torchaudio/lib/*.so
    sed -i '/^torchaudio\/lib\/.*\.so,/d' "$speech"/torchaudio-*.dist-info/RECORD
    mkdir -p "$speech/torchcodec-0.0.0.dist-info"
    printf 'Metadata-Version: 2.1\nName: torchcodec\nVersion: 0.0.0\n' > "$speech/torchcodec-0.0.0.dist-info/METADATA"
    printf 'torchcodec\n' > "$speech/torchcodec-0.0.0.dist-info/top_level.txt"
    printf 'raise ImportError("torchcodec is left out of the CPU environment")\n' > "$speech/torchcodec.py"
fi

# The packages of this checkout, and the command `carillon`. No network: the builder is installed.
"$uv" pip install --quiet --no-deps --no-build-isolation --offline --editable . ||
    fail "this checkout could not be installed into $venv"

if [ "$what" = cpu ]; then
    # librosa's functions are compiled at their first call: now, instead of when somebody waits for a voice.
    say "compiling what speech needs"
    "$python" -c "from models.coqui import Speaker; from models.starter_speech import WEIGHTS; Speaker(WEIGHTS).say('Number 1.', 'alto', None)" >/dev/null 2>&1 ||
        say "that failed; the first spoken sentence will take longer"
fi

touch "$venv/.installed-$what"

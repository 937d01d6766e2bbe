#!/bin/sh
# Builds build/shop.wasm. Where componentize-py is not installed, it is put into `.venv`.
set -eu
cd "$(dirname "$0")"

if ! command -v componentize-py >/dev/null; then
    [ -x .venv/bin/componentize-py ] || {
        python3 -m venv .venv
        .venv/bin/pip install --quiet --requirement requirements.txt
    }
    PATH=$PWD/.venv/bin:$PATH
fi

mkdir -p build
componentize-py --quiet --wit-path ../../../wit/script --world script-with-options \
    componentize app --output build/shop.wasm

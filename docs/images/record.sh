#!/usr/bin/env bash
# Records `make train` as docs/images/terminal.svg, an animation of the terminal, with termtosvg.
set -euo pipefail
cd "$(dirname "$0")/../.."
make setup
session=$(mktemp)
trap 'rm "$session"' EXIT
cat >"$session" <<'END'
#!/usr/bin/env bash
printf '\e[32m$\e[0m '
for letter in m a k e ' ' t r a i n; do printf '%s' "$letter"; sleep 0.1; done
echo
make train LOGGER=csv
sleep 3
END
chmod +x "$session"
uvx --with 'setuptools<80' termtosvg docs/images/terminal.svg -c "$session" -g 100x36 -M 1500 -t window_frame

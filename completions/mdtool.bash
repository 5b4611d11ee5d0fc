# bash completion for mdtool. Made from the command tree by: mdtool docs

_mdtool_feeds() {
    local folder="${store:-${MDTOOL_STORE:-${XDG_DATA_HOME:-$HOME/.local/share}/mdtool}}" path
    for path in "$folder"/feeds/*/*/; do
        [[ -d $path ]] || continue
        path=${path%/}
        printf "%s\n" "${path#"$folder"/feeds/}"
    done
}

_mdtool() {
    local word previous command store= i
    word=${COMP_WORDS[COMP_CWORD]}
    previous=${COMP_WORDS[COMP_CWORD-1]}
    command=mdtool
    COMPREPLY=()
    for ((i = 1; i < COMP_CWORD; i++)); do
        case "$command ${COMP_WORDS[i]}" in
            "mdtool record" | "mdtool status" | "mdtool stop" | "mdtool reload" | "mdtool metrics" | "mdtool metrics serve" | "mdtool metrics dashboard" | "mdtool metrics alerts" | "mdtool snapshot" | "mdtool reconnect" | "mdtool import" | "mdtool registry" | "mdtool registry list" | "mdtool registry show" | "mdtool registry set" | "mdtool registry remove" | "mdtool registry verify" | "mdtool tail" | "mdtool replay" | "mdtool audit" | "mdtool book" | "mdtool serve" | "mdtool seal" | "mdtool clean" | "mdtool verify" | "mdtool repair" | "mdtool doctor" | "mdtool config" | "mdtool config check" | "mdtool config show" | "mdtool config init" | "mdtool deploy" | "mdtool deploy systemd" | "mdtool deploy compose" | "mdtool deploy dockerfile" | "mdtool sim" | "mdtool bench" | "mdtool torture" | "mdtool demo") command="$command ${COMP_WORDS[i]}" ;;
            *)
                case "${COMP_WORDS[i]}" in
                    --store) store=${COMP_WORDS[i + 1]}; ((i += 1)) ;;
                    --at | --at-end | --ca | --chunk-size | --config | --cpu | --data | --depth | --dir | --faults | --faults-for | --faults-log | --feed | --for | --format | --from | --host | --http | --keep | --keep-last | --lines | --live | --max-bytes | --older-than | --only | --port | --rate | --rest | --rounds | --seed | --shards | --shm | --speed | --streams | --symbol | --symbols | --sync | --to | --url | --user | --venue | --venues | -n) ((i += 1)) ;;
                esac
                ;;
        esac
    done
    case "$command $previous" in
        "mdtool --store")
            compopt -o filenames 2>/dev/null; COMPREPLY=($(compgen -d -- "$word"))
            return
            ;;
        "mdtool --config")
            compopt -o filenames 2>/dev/null; COMPREPLY=($(compgen -f -- "$word"))
            return
            ;;
        "mdtool record --url")
            :
            return
            ;;
        "mdtool record --rest")
            :
            return
            ;;
        "mdtool record --for")
            :
            return
            ;;
        "mdtool record --streams")
            :
            return
            ;;
        "mdtool record --live")
            COMPREPLY=($(compgen -W "disk shm" -- "$word"))
            return
            ;;
        "mdtool record --sync")
            COMPREPLY=($(compgen -W "none 1s chunk" -- "$word"))
            return
            ;;
        "mdtool record --chunk-size")
            :
            return
            ;;
        "mdtool record --ca")
            compopt -o filenames 2>/dev/null; COMPREPLY=($(compgen -f -- "$word"))
            return
            ;;
        "mdtool record --shards")
            :
            return
            ;;
        "mdtool record --cpu")
            :
            return
            ;;
        "mdtool record --http")
            :
            return
            ;;
        "mdtool stop --feed")
            COMPREPLY=($(compgen -W "$(_mdtool_feeds)" -- "$word"))
            return
            ;;
        "mdtool metrics serve --http")
            :
            return
            ;;
        "mdtool import --symbol")
            :
            return
            ;;
        "mdtool import --format")
            COMPREPLY=($(compgen -W "hb cf pat" -- "$word"))
            return
            ;;
        "mdtool tail -n" | "mdtool tail --lines")
            :
            return
            ;;
        "mdtool replay --from")
            :
            return
            ;;
        "mdtool replay --to")
            :
            return
            ;;
        "mdtool replay --speed")
            :
            return
            ;;
        "mdtool replay --format")
            COMPREPLY=($(compgen -W "ndjson raw" -- "$word"))
            return
            ;;
        "mdtool audit --from")
            :
            return
            ;;
        "mdtool audit --to")
            :
            return
            ;;
        "mdtool book --depth")
            :
            return
            ;;
        "mdtool book --at")
            :
            return
            ;;
        "mdtool book --venues")
            :
            return
            ;;
        "mdtool book --live")
            COMPREPLY=($(compgen -W "binance binance-coinm binance-usdm bitfinex bitget bitstamp bybit bybit-inverse bybit-linear coinbase coinbase-advanced deribit gate gate-futures hyperliquid kraken kucoin okx sim" -- "$word"))
            return
            ;;
        "mdtool book --url")
            :
            return
            ;;
        "mdtool serve --host")
            :
            return
            ;;
        "mdtool serve --port")
            :
            return
            ;;
        "mdtool serve --speed")
            :
            return
            ;;
        "mdtool serve --from")
            :
            return
            ;;
        "mdtool serve --to")
            :
            return
            ;;
        "mdtool serve --at-end")
            COMPREPLY=($(compgen -W "stay close" -- "$word"))
            return
            ;;
        "mdtool clean --older-than")
            :
            return
            ;;
        "mdtool clean --max-bytes")
            :
            return
            ;;
        "mdtool clean --keep-last")
            :
            return
            ;;
        "mdtool doctor --url")
            :
            return
            ;;
        "mdtool doctor --rest")
            :
            return
            ;;
        "mdtool deploy systemd --store")
            compopt -o filenames 2>/dev/null; COMPREPLY=($(compgen -d -- "$word"))
            return
            ;;
        "mdtool deploy systemd --config")
            compopt -o filenames 2>/dev/null; COMPREPLY=($(compgen -f -- "$word"))
            return
            ;;
        "mdtool deploy systemd --user")
            :
            return
            ;;
        "mdtool deploy systemd --http")
            :
            return
            ;;
        "mdtool deploy compose --store")
            compopt -o filenames 2>/dev/null; COMPREPLY=($(compgen -d -- "$word"))
            return
            ;;
        "mdtool deploy compose --config")
            compopt -o filenames 2>/dev/null; COMPREPLY=($(compgen -f -- "$word"))
            return
            ;;
        "mdtool deploy compose --http")
            :
            return
            ;;
        "mdtool deploy compose --shm")
            :
            return
            ;;
        "mdtool deploy dockerfile --http")
            :
            return
            ;;
        "mdtool sim --symbols")
            :
            return
            ;;
        "mdtool sim --venue")
            COMPREPLY=($(compgen -W "binance bitget bybit coinbase coinbase-advanced kraken okx sim" -- "$word"))
            return
            ;;
        "mdtool sim --host")
            :
            return
            ;;
        "mdtool sim --port")
            :
            return
            ;;
        "mdtool sim --seed")
            :
            return
            ;;
        "mdtool sim --rate")
            :
            return
            ;;
        "mdtool sim --speed")
            :
            return
            ;;
        "mdtool sim --for")
            :
            return
            ;;
        "mdtool sim --faults")
            :
            return
            ;;
        "mdtool sim --faults-for")
            :
            return
            ;;
        "mdtool sim --faults-log")
            compopt -o filenames 2>/dev/null; COMPREPLY=($(compgen -f -- "$word"))
            return
            ;;
        "mdtool bench --data")
            compopt -o filenames 2>/dev/null; COMPREPLY=($(compgen -f -- "$word"))
            return
            ;;
        "mdtool bench --dir")
            compopt -o filenames 2>/dev/null; COMPREPLY=($(compgen -d -- "$word"))
            return
            ;;
        "mdtool torture --rounds")
            :
            return
            ;;
        "mdtool torture --seed")
            :
            return
            ;;
        "mdtool torture --only")
            COMPREPLY=($(compgen -W "kill-append two-writers clock-back kill-seal kill-clean damage kill-repair full-disk one-archive read-clean blocked-stderr lost-memory hole-in-full" -- "$word"))
            return
            ;;
        "mdtool torture --dir")
            compopt -o filenames 2>/dev/null; COMPREPLY=($(compgen -d -- "$word"))
            return
            ;;
        "mdtool demo --for")
            :
            return
            ;;
        "mdtool demo --keep")
            compopt -o filenames 2>/dev/null; COMPREPLY=($(compgen -d -- "$word"))
            return
            ;;
        "mdtool demo --seed")
            :
            return
            ;;
    esac
    case "$command" in
        "mdtool")
            if [[ $word == -* ]]; then
                COMPREPLY=($(compgen -W "--store --config -v --verbose --version -h --help" -- "$word"))
            else
                COMPREPLY=($(compgen -W "record status stop reload metrics snapshot reconnect import registry tail replay audit book serve seal clean verify repair doctor config deploy sim bench torture demo" -- "$word"))
            fi
            ;;
        "mdtool record")
            if [[ $word == -* ]]; then
                COMPREPLY=($(compgen -W "--url --rest --for --streams --fail-fast --live --sync --chunk-size --ca --deflate --no-deflate --shards --cpu --instruments --no-instruments --http --json -h --help" -- "$word"))
            else
                COMPREPLY=($(compgen -W "binance binance-coinm binance-usdm bitfinex bitget bitstamp bybit bybit-inverse bybit-linear coinbase coinbase-advanced deribit gate gate-futures hyperliquid kraken kucoin okx sim" -- "$word")); :
            fi
            ;;
        "mdtool status")
            if [[ $word == -* ]]; then
                COMPREPLY=($(compgen -W "--watch --json -h --help" -- "$word"))
            else
                :
            fi
            ;;
        "mdtool stop")
            if [[ $word == -* ]]; then
                COMPREPLY=($(compgen -W "--feed --json -h --help" -- "$word"))
            else
                :
            fi
            ;;
        "mdtool reload")
            if [[ $word == -* ]]; then
                COMPREPLY=($(compgen -W "--json -h --help" -- "$word"))
            else
                :
            fi
            ;;
        "mdtool metrics")
            if [[ $word == -* ]]; then
                COMPREPLY=($(compgen -W "-h --help" -- "$word"))
            else
                COMPREPLY=($(compgen -W "serve dashboard alerts" -- "$word"))
            fi
            ;;
        "mdtool metrics serve")
            if [[ $word == -* ]]; then
                COMPREPLY=($(compgen -W "--http -h --help" -- "$word"))
            else
                :
            fi
            ;;
        "mdtool metrics dashboard")
            if [[ $word == -* ]]; then
                COMPREPLY=($(compgen -W "-h --help" -- "$word"))
            else
                :
            fi
            ;;
        "mdtool metrics alerts")
            if [[ $word == -* ]]; then
                COMPREPLY=($(compgen -W "-h --help" -- "$word"))
            else
                :
            fi
            ;;
        "mdtool snapshot")
            if [[ $word == -* ]]; then
                COMPREPLY=($(compgen -W "--json -h --help" -- "$word"))
            else
                COMPREPLY=($(compgen -W "$(_mdtool_feeds)" -- "$word"))
            fi
            ;;
        "mdtool reconnect")
            if [[ $word == -* ]]; then
                COMPREPLY=($(compgen -W "--json -h --help" -- "$word"))
            else
                COMPREPLY=($(compgen -W "$(_mdtool_feeds)" -- "$word"))
            fi
            ;;
        "mdtool import")
            if [[ $word == -* ]]; then
                COMPREPLY=($(compgen -W "--symbol --format --allow-overlap --json -h --help" -- "$word"))
            else
                COMPREPLY=($(compgen -W "binance binance-coinm binance-usdm bitfinex bitget bitstamp bybit bybit-inverse bybit-linear coinbase coinbase-advanced deribit gate gate-futures hyperliquid kraken kucoin okx sim" -- "$word")); compopt -o filenames 2>/dev/null; COMPREPLY+=($(compgen -f -- "$word"))
            fi
            ;;
        "mdtool registry")
            if [[ $word == -* ]]; then
                COMPREPLY=($(compgen -W "-h --help" -- "$word"))
            else
                COMPREPLY=($(compgen -W "list show set remove verify" -- "$word"))
            fi
            ;;
        "mdtool registry list")
            if [[ $word == -* ]]; then
                COMPREPLY=($(compgen -W "--json -h --help" -- "$word"))
            else
                COMPREPLY=($(compgen -W "$(_mdtool_feeds)" -- "$word"))
            fi
            ;;
        "mdtool registry show")
            if [[ $word == -* ]]; then
                COMPREPLY=($(compgen -W "--json -h --help" -- "$word"))
            else
                COMPREPLY=($(compgen -W "$(_mdtool_feeds)" -- "$word"))
            fi
            ;;
        "mdtool registry set")
            if [[ $word == -* ]]; then
                COMPREPLY=($(compgen -W "--json -h --help" -- "$word"))
            else
                COMPREPLY=($(compgen -W "$(_mdtool_feeds)" -- "$word")); if [[ $word != "=" && $previous != "=" ]]; then COMPREPLY+=($(compgen -W "live= chunk= live-window= retain= max-bytes= keep-last= archive=" -- "$word")); else COMPREPLY=(); fi; [[ "${COMPREPLY[*]}" != *= ]] || compopt -o nospace 2>/dev/null
            fi
            ;;
        "mdtool registry remove")
            if [[ $word == -* ]]; then
                COMPREPLY=($(compgen -W "--yes -h --help" -- "$word"))
            else
                COMPREPLY=($(compgen -W "$(_mdtool_feeds)" -- "$word"))
            fi
            ;;
        "mdtool registry verify")
            if [[ $word == -* ]]; then
                COMPREPLY=($(compgen -W "--rebuild --dry-run --json -h --help" -- "$word"))
            else
                :
            fi
            ;;
        "mdtool tail")
            if [[ $word == -* ]]; then
                COMPREPLY=($(compgen -W "-n --lines -f --follow --json -h --help" -- "$word"))
            else
                COMPREPLY=($(compgen -W "$(_mdtool_feeds)" -- "$word"))
            fi
            ;;
        "mdtool replay")
            if [[ $word == -* ]]; then
                COMPREPLY=($(compgen -W "--from --to --speed --format -h --help" -- "$word"))
            else
                COMPREPLY=($(compgen -W "$(_mdtool_feeds)" -- "$word"))
            fi
            ;;
        "mdtool audit")
            if [[ $word == -* ]]; then
                COMPREPLY=($(compgen -W "--from --to --json -h --help" -- "$word"))
            else
                COMPREPLY=($(compgen -W "$(_mdtool_feeds)" -- "$word"))
            fi
            ;;
        "mdtool book")
            if [[ $word == -* ]]; then
                COMPREPLY=($(compgen -W "--depth --at --once --l3 --venues --live --url --json -h --help" -- "$word"))
            else
                COMPREPLY=($(compgen -W "$(_mdtool_feeds)" -- "$word"))
            fi
            ;;
        "mdtool serve")
            if [[ $word == -* ]]; then
                COMPREPLY=($(compgen -W "--host --port --speed --from --to --at-end -h --help" -- "$word"))
            else
                COMPREPLY=($(compgen -W "$(_mdtool_feeds)" -- "$word"))
            fi
            ;;
        "mdtool seal")
            if [[ $word == -* ]]; then
                COMPREPLY=($(compgen -W "--all --dry-run --json -h --help" -- "$word"))
            else
                COMPREPLY=($(compgen -W "$(_mdtool_feeds)" -- "$word"))
            fi
            ;;
        "mdtool clean")
            if [[ $word == -* ]]; then
                COMPREPLY=($(compgen -W "--older-than --max-bytes --keep-last --closed-chunks --dry-run --json -h --help" -- "$word"))
            else
                COMPREPLY=($(compgen -W "$(_mdtool_feeds)" -- "$word"))
            fi
            ;;
        "mdtool verify")
            if [[ $word == -* ]]; then
                COMPREPLY=($(compgen -W "--json -h --help" -- "$word"))
            else
                COMPREPLY=($(compgen -W "$(_mdtool_feeds)" -- "$word"))
            fi
            ;;
        "mdtool repair")
            if [[ $word == -* ]]; then
                COMPREPLY=($(compgen -W "--gone --dry-run --json -h --help" -- "$word"))
            else
                COMPREPLY=($(compgen -W "$(_mdtool_feeds)" -- "$word"))
            fi
            ;;
        "mdtool doctor")
            if [[ $word == -* ]]; then
                COMPREPLY=($(compgen -W "--url --rest --json -h --help" -- "$word"))
            else
                COMPREPLY=($(compgen -W "binance binance-coinm binance-usdm bitfinex bitget bitstamp bybit bybit-inverse bybit-linear coinbase coinbase-advanced deribit gate gate-futures hyperliquid kraken kucoin okx sim" -- "$word"))
            fi
            ;;
        "mdtool config")
            if [[ $word == -* ]]; then
                COMPREPLY=($(compgen -W "-h --help" -- "$word"))
            else
                COMPREPLY=($(compgen -W "check show init" -- "$word"))
            fi
            ;;
        "mdtool config check")
            if [[ $word == -* ]]; then
                COMPREPLY=($(compgen -W "--json -h --help" -- "$word"))
            else
                :
            fi
            ;;
        "mdtool config show")
            if [[ $word == -* ]]; then
                COMPREPLY=($(compgen -W "--json -h --help" -- "$word"))
            else
                :
            fi
            ;;
        "mdtool config init")
            if [[ $word == -* ]]; then
                COMPREPLY=($(compgen -W "--stdout -h --help" -- "$word"))
            else
                :
            fi
            ;;
        "mdtool deploy")
            if [[ $word == -* ]]; then
                COMPREPLY=($(compgen -W "-h --help" -- "$word"))
            else
                COMPREPLY=($(compgen -W "systemd compose dockerfile" -- "$word"))
            fi
            ;;
        "mdtool deploy systemd")
            if [[ $word == -* ]]; then
                COMPREPLY=($(compgen -W "--store --config --user --http -h --help" -- "$word"))
            else
                :
            fi
            ;;
        "mdtool deploy compose")
            if [[ $word == -* ]]; then
                COMPREPLY=($(compgen -W "--store --config --http --shm -h --help" -- "$word"))
            else
                :
            fi
            ;;
        "mdtool deploy dockerfile")
            if [[ $word == -* ]]; then
                COMPREPLY=($(compgen -W "--http -h --help" -- "$word"))
            else
                :
            fi
            ;;
        "mdtool sim")
            if [[ $word == -* ]]; then
                COMPREPLY=($(compgen -W "--symbols --venue --host --port --seed --rate --speed --for --faults --faults-for --faults-log -h --help" -- "$word"))
            else
                :
            fi
            ;;
        "mdtool bench")
            if [[ $word == -* ]]; then
                COMPREPLY=($(compgen -W "--quick --data --dir --json -h --help" -- "$word"))
            else
                COMPREPLY=($(compgen -W "append roll iterate latency receive commit decode venues book replay seal" -- "$word"))
            fi
            ;;
        "mdtool torture")
            if [[ $word == -* ]]; then
                COMPREPLY=($(compgen -W "--rounds --seed --only --dir --json -h --help" -- "$word"))
            else
                :
            fi
            ;;
        "mdtool demo")
            if [[ $word == -* ]]; then
                COMPREPLY=($(compgen -W "--for --keep --seed -h --help" -- "$word"))
            else
                :
            fi
            ;;
    esac
}

complete -F _mdtool mdtool

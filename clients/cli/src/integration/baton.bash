# Tells Baton where prompts and commands begin and end, and the directory (OSC 133 and OSC 7).
# Last in ~/.bashrc:  eval "$(baton shell-integration bash)"
#
# Needs bash 4.4 for PS0. Nothing is traced or trapped: PS0 is expanded when a line was read and is about to run, and
# PROMPT_COMMAND runs before a prompt. What they and PS1 had before stays in them.

if [[ -n ${BATON_SESSION-} && -z ${__baton_began-} && $- == *i* && ${TERM-} != dumb ]] && shopt -q promptvars &&
    ((BASH_VERSINFO[0] * 100 + BASH_VERSINFO[1] >= 404)); then

    # A command line is told up to here, percent-encoded: what is longer does not fit into one sequence.
    __baton_line_max=3900
    # A command was begun and its end was not told yet.
    __baton_running=0
    # The number the next line gets in the history: when the prompt was shown, and when a line had been read.
    __baton_number=0
    __baton_number_now=0
    __baton_cwd=
    __baton_cwd_encoded=
    __baton_nothing=
    # PROMPT_COMMAND has these by way of variables: exported to a shell that does not have them, it then has nothing.
    __baton_began=__baton_end_command
    __baton_prompts=__baton_begin_prompt

    # Percent-encodes $1 into __baton_encoded, byte by byte.
    __baton_encode() {
        local LC_ALL=C rest=$1 plain byte
        __baton_encoded=
        while [[ -n $rest ]]; do
            plain=${rest%%[!abcdefghijklmnopqrstuvwxyzABCDEFGHIJKLMNOPQRSTUVWXYZ0123456789/._~-]*}
            __baton_encoded+=$plain
            rest=${rest:${#plain}}
            if [[ -n $rest ]]; then
                builtin printf -v byte '%d' "'${rest:0:1}"
                builtin printf -v byte '%%%02X' "$((byte & 255))"
                __baton_encoded+=$byte
                rest=${rest:1}
            fi
        done
    }

    # First in PROMPT_COMMAND: the status is still that of the command, and stays so for what follows.
    __baton_end_command() {
        local status=$?
        if [[ $__baton_running == 1 ]]; then
            __baton_running=0
            builtin printf '\e]133;D;%s\a' "$status" >&2
        fi
        # Under `set -e` a status told on would end the shell.
        [[ $- == *e* ]] || return "$status"
    }

    # Last in PROMPT_COMMAND: what it sets has been set.
    __baton_begin_prompt() {
        local status=$?
        __baton_number=${HISTCMD:-0}
        if [[ $__baton_cwd != "$PWD" ]]; then
            # A locale that is not there would be complained of when it comes back.
            __baton_encode "$PWD" 2>/dev/null
            __baton_cwd=$PWD
            __baton_cwd_encoded=$__baton_encoded
        fi
        builtin printf '\e]7;file://%s%s\a\e]133;A\a' "${HOSTNAME-}" "$__baton_cwd_encoded" >&2
        [[ ${PS1-} == *']133;B'* ]] || PS1="${PS1-}"'\[\e]133;B\a\]'
        # A substring of nothing is nothing; but finding where it begins sets variables of this shell, not of a subshell.
        [[ ${PS0-} == *__baton_begin_command* ]] ||
            PS0="${PS0-}"'${__baton_nothing:$((__baton_running = 1, __baton_number_now = ${HISTCMD:-0}, 0)):0}$(__baton_begin_command)'
        [[ $- == *e* ]] || return "$status"
    }

    # In PS0. A line that did not go into the history (hidden by a blank, or the same as before) is not told.
    __baton_begin_command() {
        local line=
        if [[ $__baton_number_now != "$__baton_number" ]]; then
            line=$(HISTTIMEFORMAT= builtin history 1)
            line=${line#"${line%%[![:space:]]*}"}
            line=${line#"${line%%[![:digit:]]*}"}
            line=${line#'*'}
            line=${line#"${line%%[![:space:]]*}"}
            __baton_encode "${line:0:__baton_line_max}" 2>/dev/null
            line=';cmdline_url='${__baton_encoded:0:__baton_line_max}
        fi
        builtin printf '\e]133;C%s\a' "$line"
    }

    if [[ ${PROMPT_COMMAND[*]-} != *'${__baton_began-}'* ]]; then
        if [[ $(builtin declare -p PROMPT_COMMAND 2>/dev/null) == 'declare -a'* ]]; then
            PROMPT_COMMAND=('${__baton_began-}' "${PROMPT_COMMAND[@]}" '${__baton_prompts-}')
        else
            PROMPT_COMMAND='${__baton_began-}'$'\n'"${PROMPT_COMMAND-}"$'\n''${__baton_prompts-}'
        fi
    fi
fi

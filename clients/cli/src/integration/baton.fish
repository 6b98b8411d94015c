# Tells Baton where prompts and commands begin and end, and the directory (OSC 133 and OSC 7).
# In ~/.config/fish/config.fish:  baton shell-integration fish | source
#
# From version 4 on fish tells all of this by itself.

if set -q BATON_SESSION; and not set -q __baton_installed; and status is-interactive; and test "$TERM" != dumb
    and not string match -qr '^([4-9]|[1-9]\d)\.' -- $version
    set -g __baton_installed 1

    # A line that is given up brings a prompt too.
    function __baton_begin_prompt --on-event fish_prompt --on-event fish_cancel
        printf '\e]7;file://%s%s\a\e]133;A\a' $hostname (string escape --style=url -- $PWD)
    end

    # At most 400 characters: percent-encoded they fit into one sequence, whatever they are.
    function __baton_begin_command --on-event fish_preexec
        set -l line (string sub -l 400 -- $argv[1] | string collect)
        printf '\e]133;C;cmdline_url=%s\a' (string escape --style=url -- $line)
    end

    function __baton_end_command --on-event fish_postexec
        printf '\e]133;D;%s\a' $status
    end

    # There is no event between prompt and line, so the prompt says itself that it is over.
    if functions -q fish_prompt; and not functions -q __baton_fish_prompt
        functions -c fish_prompt __baton_fish_prompt
        function fish_prompt
            if functions -q __baton_fish_prompt
                __baton_fish_prompt
            else
                # Saved with `funcsave`, and loaded in a shell without the rest.
                printf '%s> ' (prompt_pwd)
            end
            printf '\e]133;B\a'
        end
    end
end

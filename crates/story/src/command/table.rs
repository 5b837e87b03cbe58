//! The table of commands, with one row for each command.

use super::arguments::{
    expects, no_argument, non_empty, parse_continue, parse_diff, parse_edit, parse_lore,
    parse_number, parse_steps, parse_swipe, required, split_word,
};
use super::pictures::{
    parse_grid, parse_image, parse_lerp, parse_mix, parse_restyle, parse_scene, parse_vary,
};
use super::{ArgumentKind, Command, CommandSpec, Swipe};

/// Builds the table of commands. Each row contains a command's name, aliases, arguments, kind of
/// completion, help and parser.
macro_rules! commands {
    ($($name:literal $aliases:expr, $args:literal, $completes:ident, $help:literal
       => $parse:expr;)*) => {
        /// Every command, in the order in which the help lists them.
        pub const COMMANDS: &[CommandSpec] = &[$(CommandSpec {
            name: $name,
            aliases: &$aliases,
            args: $args,
            help: $help,
            completes: ArgumentKind::$completes,
            parse: $parse,
        },)*];
    };
}

commands! {
    "continue" ["c"], "[N|sent|para]", Reaches,
        "generate about N tokens, one sentence, one paragraph, or up to a quoted phrase"
        => parse_continue;
    "retry" ["regen", "regenerate", "r"], "[seed=N]", Nothing,
        "regenerate the last passage, keeping the old version"
        => |rest| {
            let seed = rest.strip_prefix("seed=").unwrap_or(rest);
            let wanted = parse_number(seed, "/retry", "a seed, for example /retry seed=7");
            wanted.map(Command::Retry)
        };
    "gen" ["candidates"], "[n=N]", Nothing,
        "generate N continuations side by side (default 4); /pick chooses one"
        => |rest| {
            let count = rest.strip_prefix("n=").unwrap_or(rest);
            match parse_number(count, "/gen", "a number from 2 to 16")?.unwrap_or(4) {
                count @ 2..=16 => Ok(Command::Gen(count)),
                _ => Err(expects("/gen", "a number from 2 to 16")),
            }
        };
    "pick" ["p"], "N", Nothing,
        "choose number N from the last list of continuations, words or places"
        => |rest| match parse_number(rest, "/pick", "a number, 1 or higher")? {
            Some(n) if n > 0 => Ok(Command::Pick(n)),
            _ => Err(expects("/pick", "a number, 1 or higher")),
        };
    "swipe" ["sw"], "next|prev|N", Swipes,
        "switch to another version of the last passage; after the newest, generate a new one"
        => parse_swipe;
    "next" [], "", Nothing,
        "short for /swipe next"
        => |rest| no_argument(rest, "/next", Command::Swipe(Swipe::Next));
    "prev" ["previous"], "", Nothing,
        "short for /swipe prev"
        => |rest| no_argument(rest, "/prev", Command::Swipe(Swipe::Previous));
    "undo" ["u"], "[N]", Nothing,
        "undo the last step, or N steps: text, edits, deletions, memory, lore"
        => |rest| Ok(Command::Undo(parse_steps(rest, "/undo")?));
    "redo" [], "[N]", Nothing,
        "redo what /undo reverted"
        => |rest| Ok(Command::Redo(parse_steps(rest, "/redo")?));
    "edit" ["e"], "[PASSAGE|mine] [TEXT]", Nothing,
        "edit a passage (mine: your last one); the text after it and the old version are kept"
        => parse_edit;
    "merge" ["join"], "[PASSAGE]", Nothing,
        "merge a passage into the one before it"
        => |rest| Ok(Command::Merge(non_empty(rest)));
    "fill" [], "[PASSAGE.SENTENCE]", Marks,
        "insert generated text after this sentence"
        => |rest| Ok(Command::Fill(non_empty(rest)));
    "alts" ["alternatives"], "[WORD]", Nothing,
        "list alternatives for a word, or for the next one; /pick chooses one"
        => |rest| Ok(Command::Alts(non_empty(rest)));
    "branch" ["fork"], "[NAME|PLACE]", Marks,
        "start a branch here or at another place, and name it"
        => |rest| Ok(Command::Branch(non_empty(rest)));
    "goto" ["go"], "PLACE", Marks,
        "go to a passage, a mark, or a place in a passage: 12, 12.3 (after its third sentence), 12:WORDS (after these words), start"
        => |rest| required(rest, "/goto", "a passage's number or a mark").map(Command::Goto);
    "parent" [], "", Nothing,
        "go to the passage before this one"
        => |rest| no_argument(rest, "/parent", Command::Step(-1));
    "child" [], "", Nothing,
        "go to the newest passage after this one"
        => |rest| no_argument(rest, "/child", Command::Step(1));
    "tree" [], "", Nothing,
        "show all passages and branches; /pick goes to one"
        => |rest| no_argument(rest, "/tree", Command::Tree);
    "mark" ["checkpoint"], "[NAME]", Marks,
        "name this place, or list all marks"
        => |rest| Ok(Command::Mark(non_empty(rest)));
    "keep" [], "", Nothing,
        "keep this version and hide the others"
        => |rest| no_argument(rest, "/keep", Command::Keep);
    "delete" ["del", "cut"], "[PASSAGE]", Nothing,
        "delete a passage; /undo restores it"
        => |rest| Ok(Command::Delete(non_empty(rest)));
    "find" ["search"], "WORDS", Nothing,
        "search every branch"
        => |rest| required(rest, "/find", "words to search for").map(Command::Find);
    "diff" [], "A B", Marks,
        "compare two branches word by word"
        => parse_diff;
    "instruct" ["i"], "TEXT", Nothing,
        "give the model a one-off instruction for the next passage"
        => |rest| {
            let text = required(
                rest,
                "/instruct",
                "a text, for example /instruct make it rain",
            );
            text.map(Command::Instruct)
        };
    "impersonate" ["imp", "suggest"], "[WORDS]", Nothing,
        "let the model draft or finish your next line; edit it before you send it"
        => |rest| Ok(Command::Impersonate(rest.to_string()));
    "ban" ["bans"], "[PHRASE [STRENGTH]]", Nothing,
        "ban a phrase or /regex/; without one, list the bans"
        => |rest| Ok(Command::Ban(non_empty(rest)));
    "unban" [], "PHRASE|all", Nothing,
        "lift a ban"
        => |rest| required(rest, "/unban", "a phrase, or all").map(Command::Unban);
    "memory" [], "[TEXT|none]", Nothing,
        "set the text that the model always reads before the story"
        => |rest| Ok(Command::Memory(non_empty(rest)));
    "note" ["an"], "[TEXT] [depth=N]", Nothing,
        "set the author's note, inserted N paragraphs before the end"
        => |rest| Ok(Command::Note(non_empty(rest)));
    "voice" ["persona"], "[NAME|none] [KEY=VALUE …]", Voices,
        "choose a voice or a prompt template (a file in prompts/)"
        => |rest| Ok(Command::Voice(non_empty(rest)));
    "lore" ["world"], "[add|on|off|why]", LoreWords,
        "list or edit lore: facts inserted when the story mentions them"
        => parse_lore;
    "summarize" ["summary"], "", Nothing,
        "summarize the passages that no longer fit the context"
        => |rest| no_argument(rest, "/summarize", Command::Summarize);
    "image" ["img", "imagine"], "[WORDS] [style=…] [n=N]", Styles,
        "draw a picture, by default of the last passage (also seed= size= guidance= retrieval=)"
        => parse_image;
    "scene" [], "[WORDS] [style=…]", Styles,
        "draw a wide picture: a backdrop and up to three things in front of it"
        => parse_scene;
    "grid" [], "[WORDS] [style=all]", Styles,
        "draw nine pictures, or one in every style; /pick chooses one"
        => parse_grid;
    "vary" [], "AMOUNT [N] [#PICTURE]", Styles,
        "redraw part of a picture: 0.1 a little, 0.9 nearly all of it"
        => parse_vary;
    "lerp" [], "\"A\" \"B\" [N]", Styles,
        "interpolate between two prompts or pictures"
        => parse_lerp;
    "mix" [], "#A #B", Styles,
        "keep half of one picture and draw the rest from another one's prompt"
        => parse_mix;
    "restyle" [], "[#PICTURE|FILE] STYLE", Styles,
        "redraw a picture, or an image file, in another style"
        => parse_restyle;
    "context" ["tokens"], "", Nothing,
        "show the context part by part, with token counts"
        => |rest| no_argument(rest, "/context", Command::Context);
    "why" [], "[PASSAGE]", Nothing,
        "show a passage's provenance: author, model, seed, settings"
        => |rest| Ok(Command::Why(non_empty(rest)));
    "export" [], "[FORMAT] [tree] [lang=TAG] [FILE] [!]", Formats,
        "export the story as text, a web page, an e-book, a chat, a card, …"
        => |rest| {
            let (format, file) = split_word(rest);
            Ok(Command::Export(non_empty(format), non_empty(file)))
        };
    "import" ["read"], "FILE [user=NAME]", Nothing,
        "import a character card, a lorebook, another program's story, or a text file"
        => |rest| {
            let file = non_empty(rest);
            file.map(Command::Import)
                .ok_or_else(|| expects("/import", "a file, for example /import mara.png"))
        };
    "set" ["show"], "[NAME [VALUE]]", Settings,
        "show all settings or one, or change one, for example /set temperature 0.9"
        => |rest| {
            let (name, value) = split_word(rest);
            Ok(Command::Set(non_empty(name), non_empty(value)))
        };
    "model" ["load"], "[NAME|PATH|URL]", Models,
        "show the model, or switch to another one"
        => |rest| Ok(Command::Model(non_empty(rest)));
    "mode" [], "[prose|chat]", Modes,
        "continue plain text (prose), or use the model's chat template (chat)"
        => |rest| Ok(Command::Mode(non_empty(rest)));
    "system" [], "[TEXT|none]", Nothing,
        "show or set the system message; in prose mode it is placed before the story"
        => |rest| Ok(Command::System(non_empty(rest)));
    "save" ["rename"], "[NAME|--warm]", Nothing,
        "name this session, show where it is saved, or save the KV cache (--warm)"
        => |rest| match rest {
            "--warm" | "--warm=any" => Ok(Command::SaveWarm {
                any_size: rest.ends_with("any"),
            }),
            name => Ok(Command::Save(non_empty(name))),
        };
    "open" [], "NAME", Sessions,
        "open another session"
        => |rest| {
            let name = required(rest, "/open", "a session's name; /sessions lists them");
            name.map(Command::Open)
        };
    "new" ["newchat"], "[NAME]", Nothing,
        "start a new session"
        => |rest| Ok(Command::New(non_empty(rest)));
    "sessions" ["ls"], "", Nothing,
        "list saved sessions"
        => |rest| no_argument(rest, "/sessions", Command::Sessions);
    "help" ["?"], "[COMMAND]", Commands,
        "list all commands, or explain one"
        => |rest| Ok(Command::Help(non_empty(rest)));
    "quit" ["exit", "bye", "q"], "", Nothing,
        "quit; everything is saved"
        => |rest| no_argument(rest, "/quit", Command::Quit);
}

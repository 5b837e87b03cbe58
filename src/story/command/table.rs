//! Every command there is: one row each.

use super::read::{diff, edit, lore, needed, none, number, reach, some, split, swipe, wants};
use super::{Command, Completes, Spec, Swipe};

/// Every command there is, in the order in which help shows them.
pub const COMMANDS: &[Spec] = &[
    Spec {
        name: "continue",
        aliases: &["c"],
        args: "[N|sent|para]",
        help: "let the model write on: N tokens, a sentence, a paragraph, or until \"words\"",
        completes: Completes::Reaches,
        parse: reach,
    },
    Spec {
        name: "retry",
        aliases: &["regen", "regenerate", "r"],
        args: "[seed=N]",
        help: "write the last passage again beside the old one, which is kept",
        completes: Completes::Nothing,
        parse: |rest| {
            let seed = rest.strip_prefix("seed=").unwrap_or(rest);
            let wanted = number(seed, "/retry", "a seed, as in /retry seed=7");
            wanted.map(Command::Retry)
        },
    },
    Spec {
        name: "gen",
        aliases: &["candidates"],
        args: "[n=N]",
        help: "write N continuations side by side (4 without a number); /pick takes one",
        completes: Completes::Nothing,
        parse: |rest| {
            let count = rest.strip_prefix("n=").unwrap_or(rest);
            match number(count, "/gen", "a number from 2 to 16")?.unwrap_or(4) {
                count @ 2..=16 => Ok(Command::Gen(count)),
                _ => Err(wants("/gen", "a number from 2 to 16")),
            }
        },
    },
    Spec {
        name: "pick",
        aliases: &["p"],
        args: "N",
        help: "take number N of what was last listed: candidates, words, places",
        completes: Completes::Nothing,
        parse: |rest| match number(rest, "/pick", "a number from 1")? {
            Some(n) if n > 0 => Ok(Command::Pick(n)),
            _ => Err(wants("/pick", "a number from 1")),
        },
    },
    Spec {
        name: "swipe",
        aliases: &["sw"],
        args: "next|prev|N",
        help: "show another version of the last passage; past the newest, write one",
        completes: Completes::Swipes,
        parse: swipe,
    },
    Spec {
        name: "next",
        aliases: &[],
        args: "",
        help: "the same as /swipe next",
        completes: Completes::Nothing,
        parse: |rest| none(rest, "/next", Command::Swipe(Swipe::Next)),
    },
    Spec {
        name: "prev",
        aliases: &["previous"],
        args: "",
        help: "the same as /swipe prev",
        completes: Completes::Nothing,
        parse: |rest| none(rest, "/prev", Command::Swipe(Swipe::Previous)),
    },
    Spec {
        name: "undo",
        aliases: &["u"],
        args: "[N]",
        help: "take back the last step, or N: text, edits, deletes, all; nothing is erased",
        completes: Completes::Nothing,
        parse: |rest| {
            let steps = number(rest, "/undo", "a number of steps")?;
            Ok(Command::Undo(steps.unwrap_or(1)))
        },
    },
    Spec {
        name: "redo",
        aliases: &[],
        args: "[N]",
        help: "do again what /undo took back",
        completes: Completes::Nothing,
        parse: |rest| {
            let steps = number(rest, "/redo", "a number of steps")?;
            Ok(Command::Redo(steps.unwrap_or(1)))
        },
    },
    Spec {
        name: "edit",
        aliases: &["e"],
        args: "[PASSAGE] [TEXT]",
        help: "change a passage; what follows is kept, and so is the old version",
        completes: Completes::Nothing,
        parse: edit,
    },
    Spec {
        name: "fill",
        aliases: &[],
        args: "[PASSAGE.SENTENCE]",
        help: "write in the middle: after this sentence, before what follows",
        completes: Completes::Marks,
        parse: |rest| Ok(Command::Fill(some(rest))),
    },
    Spec {
        name: "alts",
        aliases: &["alternatives"],
        args: "[WORD]",
        help: "what else could have stood at a word, or next; /pick takes one",
        completes: Completes::Nothing,
        parse: |rest| Ok(Command::Alts(some(rest))),
    },
    Spec {
        name: "branch",
        aliases: &["fork"],
        args: "[NAME|PLACE]",
        help: "begin a branch here, or at a place, and name it",
        completes: Completes::Marks,
        parse: |rest| Ok(Command::Branch(some(rest))),
    },
    Spec {
        name: "goto",
        aliases: &["go"],
        args: "PLACE",
        help: "go to a passage, a mark, or inside one: 12, 12.3 (after its third sentence), 12:WORDS (after these words of it), start",
        completes: Completes::Marks,
        parse: |rest| needed(rest, "/goto", "a passage's number or a mark").map(Command::Goto),
    },
    Spec {
        name: "parent",
        aliases: &[],
        args: "",
        help: "go to the passage before this one",
        completes: Completes::Nothing,
        parse: |rest| none(rest, "/parent", Command::Step(-1)),
    },
    Spec {
        name: "child",
        aliases: &[],
        args: "",
        help: "go to the passage after this one, the newest",
        completes: Completes::Nothing,
        parse: |rest| none(rest, "/child", Command::Step(1)),
    },
    Spec {
        name: "tree",
        aliases: &[],
        args: "",
        help: "show every passage and branch; /pick goes to one",
        completes: Completes::Nothing,
        parse: |rest| none(rest, "/tree", Command::Tree),
    },
    Spec {
        name: "mark",
        aliases: &["checkpoint"],
        args: "[NAME]",
        help: "name this place, or list the names",
        completes: Completes::Marks,
        parse: |rest| Ok(Command::Mark(some(rest))),
    },
    Spec {
        name: "keep",
        aliases: &[],
        args: "",
        help: "keep this version and put the others away",
        completes: Completes::Nothing,
        parse: |rest| none(rest, "/keep", Command::Keep),
    },
    Spec {
        name: "delete",
        aliases: &["del", "cut"],
        args: "[PASSAGE]",
        help: "take a passage out of the story; /undo brings it back",
        completes: Completes::Nothing,
        parse: |rest| Ok(Command::Delete(some(rest))),
    },
    Spec {
        name: "find",
        aliases: &["search"],
        args: "WORDS",
        help: "find words in every branch",
        completes: Completes::Nothing,
        parse: |rest| needed(rest, "/find", "some words").map(Command::Find),
    },
    Spec {
        name: "diff",
        aliases: &[],
        args: "A B",
        help: "compare two branches word by word",
        completes: Completes::Marks,
        parse: diff,
    },
    Spec {
        name: "instruct",
        aliases: &["i"],
        args: "TEXT",
        help: "tell the model what to do in the next passage only",
        completes: Completes::Nothing,
        parse: |rest| {
            let text = needed(rest, "/instruct", "words, as in /instruct make it rain");
            text.map(Command::Instruct)
        },
    },
    Spec {
        name: "ban",
        aliases: &["bans"],
        args: "[PHRASE [STRENGTH]]",
        help: "never write this phrase or /pattern/; without one, list them",
        completes: Completes::Nothing,
        parse: |rest| Ok(Command::Ban(some(rest))),
    },
    Spec {
        name: "unban",
        aliases: &[],
        args: "PHRASE|all",
        help: "allow it again",
        completes: Completes::Nothing,
        parse: |rest| needed(rest, "/unban", "a phrase, or all").map(Command::Unban),
    },
    Spec {
        name: "memory",
        aliases: &[],
        args: "[TEXT|none]",
        help: "what the model always reads before the story",
        completes: Completes::Nothing,
        parse: |rest| Ok(Command::Memory(some(rest))),
    },
    Spec {
        name: "note",
        aliases: &["an"],
        args: "[TEXT] [depth=N]",
        help: "the author's note: read N paragraphs before the end",
        completes: Completes::Nothing,
        parse: |rest| Ok(Command::Note(some(rest))),
    },
    Spec {
        name: "voice",
        aliases: &["persona"],
        args: "[NAME|none] [KEY=VALUE …]",
        help: "who tells the story, or what shall be written: a file of prompts/",
        completes: Completes::Voices,
        parse: |rest| Ok(Command::Voice(some(rest))),
    },
    Spec {
        name: "lore",
        aliases: &["world"],
        args: "[add|on|off|why]",
        help: "facts that are read when the story speaks of them",
        completes: Completes::LoreWords,
        parse: lore,
    },
    Spec {
        name: "summarize",
        aliases: &["summary"],
        args: "",
        help: "write a summary that is read in place of what no longer fits",
        completes: Completes::Nothing,
        parse: |rest| none(rest, "/summarize", Command::Summarize),
    },
    Spec {
        name: "context",
        aliases: &["tokens"],
        args: "",
        help: "show what the model reads, part by part, with its tokens",
        completes: Completes::Nothing,
        parse: |rest| none(rest, "/context", Command::Context),
    },
    Spec {
        name: "why",
        aliases: &[],
        args: "[PASSAGE]",
        help: "how a passage came to be: who wrote what, model, seed, settings",
        completes: Completes::Nothing,
        parse: |rest| Ok(Command::Why(some(rest))),
    },
    Spec {
        name: "export",
        aliases: &[],
        args: "[FORMAT] [tree] [FILE] [!]",
        help: "write the story to a file: txt, md, html, epub, jsonl, pairs, kobold, tavern, card",
        completes: Completes::Formats,
        parse: |rest| {
            let (format, file) = split(rest);
            Ok(Command::Export(some(format), some(file)))
        },
    },
    Spec {
        name: "import",
        aliases: &["read"],
        args: "FILE [user=NAME]",
        help: "bring in a character card, a lorebook, a story of another program, or plain words",
        completes: Completes::Nothing,
        parse: |rest| {
            let file = some(rest);
            file.map(Command::Import)
                .ok_or_else(|| wants("/import", "a file, as in /import mara.png"))
        },
    },
    Spec {
        name: "set",
        aliases: &["show"],
        args: "[NAME [VALUE]]",
        help: "show the settings, one of them, or change one, as in /set temperature 0.9",
        completes: Completes::Settings,
        parse: |rest| {
            let (name, value) = split(rest);
            Ok(Command::Set(some(name), some(value)))
        },
    },
    Spec {
        name: "model",
        aliases: &["load"],
        args: "[NAME|PATH]",
        help: "show the model, or put another in its place and keep the story",
        completes: Completes::Models,
        parse: |rest| Ok(Command::Model(some(rest))),
    },
    Spec {
        name: "mode",
        aliases: &[],
        args: "[prose|chat]",
        help: "write on from the text itself, or talk in the model's chat template",
        completes: Completes::Modes,
        parse: |rest| Ok(Command::Mode(some(rest))),
    },
    Spec {
        name: "system",
        aliases: &[],
        args: "[TEXT|none]",
        help: "show or set the chat's system message; in prose it stands before the story",
        completes: Completes::Nothing,
        parse: |rest| Ok(Command::System(some(rest))),
    },
    Spec {
        name: "save",
        aliases: &["rename"],
        args: "[NAME|--warm]",
        help: "everything is saved already: show where, name it, or keep what the model has read",
        completes: Completes::Nothing,
        parse: |rest| match rest {
            "--warm" | "--warm=any" => Ok(Command::SaveWarm {
                any_size: rest.ends_with("any"),
            }),
            name => Ok(Command::Save(some(name))),
        },
    },
    Spec {
        name: "open",
        aliases: &[],
        args: "NAME",
        help: "go to another session",
        completes: Completes::Sessions,
        parse: |rest| {
            let name = needed(rest, "/open", "a session's name; /sessions lists them");
            name.map(Command::Open)
        },
    },
    Spec {
        name: "new",
        aliases: &["newchat"],
        args: "[NAME]",
        help: "begin another session",
        completes: Completes::Nothing,
        parse: |rest| Ok(Command::New(some(rest))),
    },
    Spec {
        name: "sessions",
        aliases: &["ls"],
        args: "",
        help: "list the sessions on disk",
        completes: Completes::Nothing,
        parse: |rest| none(rest, "/sessions", Command::Sessions),
    },
    Spec {
        name: "help",
        aliases: &["?"],
        args: "[COMMAND]",
        help: "this list, or more on one command",
        completes: Completes::Commands,
        parse: |rest| Ok(Command::Help(some(rest))),
    },
    Spec {
        name: "quit",
        aliases: &["exit", "bye", "q"],
        args: "",
        help: "leave; everything is on disk",
        completes: Completes::Nothing,
        parse: |rest| none(rest, "/quit", Command::Quit),
    },
];

//! Kills the program at random moments while it generates text, again and again in the same
//! session.

use crate::support::Home;
use crate::support::talker::talker;
use illumine::store::{Sessions, recover_journal};
use std::fs;
use std::io::{Read, Write};
use std::path::Path;
use std::process::{Command, Stdio};
use std::thread;
use std::time::Duration;
use story::{Node, Status};

/// The total number of times that the program is killed, unless ILLUMINE_KILLS sets another number.
const KILLS: usize = 1000;
/// The number of sessions tested in parallel.
const SESSIONS: usize = 2;

#[test]
fn killed_at_any_moment_nothing_that_was_acknowledged_is_lost() {
    let asked = std::env::var("ILLUMINE_KILLS").ok();
    let kills = asked.and_then(|n| n.parse().ok()).unwrap_or(KILLS);
    let home = Home::new();
    let model = talker(4096);
    thread::scope(|scope| {
        for session in 0..SESSIONS {
            let (home, model) = (&home, model.path());
            scope.spawn(move || rounds(home, model, session as u64, kills / SESSIONS));
        }
    });
}

fn rounds(home: &Home, model: &Path, number: u64, rounds: usize) {
    let mut session = format!("s{number}-0");
    let mut known: Vec<Node> = Vec::new();
    // The last story with a passage: on a busy machine, every start in a new session may be killed
    // too early.
    let mut begun = None;
    let mut chance = number.wrapping_mul(7919).wrapping_add(1);
    for round in 0..rounds {
        // A new story from time to time, so that loading it does not dominate the test.
        if round % 50 == 0 {
            session = format!("s{number}-{round}");
            known.clear();
        }
        chance = chance
            .wrapping_mul(6364136223846793005)
            .wrapping_add(1442695040888963407);
        let wait = Duration::from_micros((chance >> 33) % 25_000);
        let printed = killed(home, model, &session, round, wait);
        let Ok(bytes) = fs::read(home.journal(&session)) else {
            assert!(known.is_empty() && printed.is_empty(), "{session} is gone");
            continue;
        };
        let found = recover_journal(&bytes);
        assert_eq!(found.read_only_reason, None, "{session}, round {round}");
        let nodes = found.story.nodes();
        assert!(nodes.len() >= known.len(), "round {round} lost passages");
        for (before, now) in known.iter().zip(nodes) {
            // An interrupted passage is marked when the session is reopened, and keeps all its
            // text.
            assert_eq!(before.text, now.text, "round {round}, passage {}", now.id);
            let ended = before.status == now.status || now.status == Status::Interrupted;
            assert!(ended, "{:?} became {:?}", before.status, now.status);
        }
        let story: String = nodes[known.len()..]
            .iter()
            .map(|node| node.text.as_str())
            .collect();
        acknowledged(&printed, &story, round);
        known = nodes.to_vec();
        if !known.is_empty() {
            begun = Some(session.clone());
        }
    }
    let begun = begun.expect("a story that was begun");
    let (_, found) = Sessions::new(home.sessions()).open(&begun).unwrap();
    assert!(found.read_only_reason.is_none() && !found.story.path().is_empty());
}

/// Starts the program in a session, types a line, and kills the program after a short time. Returns
/// what the program printed.
fn killed(home: &Home, model: &Path, session: &str, round: usize, wait: Duration) -> String {
    let seed = round.to_string();
    let mut child = Command::new(crate::support::ILLUMINE)
        .args(["repl", session, "--seed", &seed, "-n", "400", "-m"])
        .arg(model)
        .env_clear()
        .env("HOME", home.path())
        .env("ILLUMINE_OFFLINE", "1")
        .env("ILLUMINE_THREADS", "1")
        .stdin(Stdio::piped())
        .stdout(Stdio::piped())
        .stderr(Stdio::null())
        .spawn()
        .unwrap();
    let mut input = child.stdin.take().unwrap();
    let mut output = child.stdout.take().unwrap();
    input
        .write_all(format!("Line {round}.\n/retry\n").as_bytes())
        .unwrap();
    let reader = thread::spawn(move || {
        let mut printed = Vec::new();
        let _ = output.read_to_end(&mut printed);
        printed
    });
    thread::sleep(Duration::from_millis(15) + wait);
    child.kill().unwrap();
    child.wait().unwrap();
    let printed = reader.join().unwrap();
    String::from_utf8_lossy(&printed).into_owned()
}

/// Checks that everything that the program printed was saved, except for the piece that was in
/// transit when the program was killed.
fn acknowledged(printed: &str, story: &str, round: usize) {
    let plain = |text: &str| -> String {
        text.chars()
            .filter(|c| !c.is_whitespace() && *c != '\u{fffd}')
            .collect()
    };
    let (printed, story) = (plain(printed), plain(story));
    let story = story
        .strip_prefix(&format!("Line{round}."))
        .unwrap_or(&story);
    let same = printed
        .chars()
        .zip(story.chars())
        .take_while(|(a, b)| a == b)
        .count();
    let missing = printed.chars().count() - same;
    assert!(
        missing <= 4,
        "round {round}: {missing} characters of {printed:?} are lost from {story:?}"
    );
}

//! Tests that a session reopens with the text that was on the screen, however the program ended.

use crate::support::Home;
use std::time::Duration;
use story::{Node, Status};

/// The maximum length in bytes of a token of the default model. Killing the program may lose one
/// token.
const PIECE: usize = 48;

fn last(home: &Home) -> Node {
    home.recovered("s").story.nodes().last().unwrap().clone()
}

/// Checks that the saved text is the printed text. The last piece may be missing from one of the
/// two.
#[track_caller]
fn kept(printed: &[u8], node: &Node) {
    let printed = std::str::from_utf8(printed).unwrap().trim_end_matches('\n');
    let (short, long) = match printed.len() < node.text.len() {
        true => (printed, node.text.as_str()),
        false => (node.text.as_str(), printed),
    };
    assert!(
        long.starts_with(short),
        "printed {printed:?}, kept {:?}",
        node.text
    );
    assert!(
        printed.len() <= node.text.len() + PIECE,
        "printed {printed:?}, kept {:?}",
        node.text
    );
}

#[test]
fn termination_and_hang_up_keep_the_passage() {
    for (signal, code) in [(libc::SIGTERM, 143), (libc::SIGHUP, 129)] {
        let home = Home::new();
        let mut live = home
            .illumine(&["repl", "s", "--seed", "5", "-n", "400"])
            .start();
        live.say("The lamp burned.");
        live.say("This line waits.");
        live.printed(12);
        live.signal(signal);
        let output = live.ended_within(Duration::from_secs(3)).expect(code);
        let node = last(&home);
        assert_eq!(node.status, Status::Stopped);
        assert_eq!(
            output.text().trim_end_matches('\n'),
            node.text.trim_end_matches('\n')
        );
    }
}

#[test]
fn a_signal_while_nothing_is_written_ends_it_at_once() {
    for (signal, code) in [
        (libc::SIGTERM, 143),
        (libc::SIGHUP, 129),
        (libc::SIGINT, 130),
    ] {
        let home = Home::new();
        let mut live = home.illumine(&["repl", "s", "-n", "2"]).start();
        live.say("/mode");
        live.printed(1);
        live.signal(signal);
        live.ended_within(Duration::from_secs(3)).expect(code);
        assert_eq!(home.recovered("s").read_only_reason, None);
    }
}

#[test]
fn ctrl_c_stops_the_passage_and_the_session_goes_on() {
    let home = Home::new();
    let mut live = home
        .illumine(&["repl", "s", "--seed", "5", "-n", "400"])
        .start();
    live.say("The lamp burned.");
    live.printed(12);
    live.signal(libc::SIGINT);
    live.complained("Stopped; the text so far is kept");
    live.say("/continue 2");
    live.end().expect(0);
    let story = home.recovered("s").story;
    let statuses: Vec<Status> = story.nodes().iter().map(|node| node.status).collect();
    assert_eq!(statuses, [Status::Whole, Status::Stopped, Status::Length]);
}

#[test]
fn a_kill_costs_at_most_the_last_piece() {
    let home = Home::new();
    for moment in 1..=10 {
        let mut live = home
            .illumine(&["repl", "s", "--seed", "5", "-n", "400"])
            .start();
        live.say("And then");
        live.printed(3 * moment);
        live.signal(libc::SIGKILL);
        let output = live.ended_within(Duration::from_secs(3));
        assert_eq!(output.signal(), Some(libc::SIGKILL));
        assert_eq!(last(&home).status, Status::Running);
        kept(&output.stdout, &last(&home));
    }
    home.illumine(&["repl", "s"]).run().expect(0);
    let found = home.recovered("s");
    assert_eq!(found.read_only_reason, None);
    let passages = found
        .story
        .nodes()
        .iter()
        .filter(|node| node.provenance.is_some());
    let interrupted: Vec<bool> = passages
        .map(|node| node.status == Status::Interrupted)
        .collect();
    assert_eq!(interrupted, [true; 10]);
}

//! Tests the retrieval of old passages and lore, with the real sentence encoder and a model with a
//! short context.

use crate::support::talker::talker;
use crate::support::{Home, Output, home::plain};

const DRAGON: &str = "The dragon slept in the cave under the mountain. Its scales were red as \
    embers. Under its belly lay the gold of nine kings, and smoke rose from its nose with every \
    breath. No knight had come back from there. The old dragon dreamt of fire and of the sky, and \
    of the sheep that it had carried away when it was young. Its wings were folded, its claws were \
    long, and its tail lay round the treasure like a rope.";
const BAKER: &str = "In the village the baker kneaded dough before dawn. Flour lay on everything. \
    He put the loaves into the oven, one by one, and the smell of fresh bread went down the street. \
    There were rolls and plaited loaves, and a cake with honey for the miller's wedding. The oven \
    was hot, the yeast had risen well, and children came to the door to beg for a warm crust with \
    butter before they went to school.";
const SHIP: &str = "Far away at sea a ship fought the storm. The captain held the wheel. Waves broke \
    over the deck, the mast groaned, and the sailors took in the sails with frozen hands. The hold \
    was full of salt and tea. For three days they had not seen the sun nor any coast, and the water \
    in the barrels was nearly gone. The first mate prayed, and the cabin boy watched the compass turn.";

fn repl(home: &Home, lines: &str) -> Output {
    let model = talker(700);
    let model = model.path().to_str().unwrap();
    let args = ["repl", "s", "--seed", "5", "-n", "1", "-m", model];
    let output = home.illumine(&args).input(lines).run().expect(0);
    plain(&output.stderr);
    output
}

#[test]
fn what_no_longer_fits_is_read_again_when_the_story_comes_back_to_it() {
    let home = Home::with_encoder();
    let bread = "She broke the bread, still warm from the oven, and ate.";
    let lines = format!("{DRAGON}\n{BAKER}\n{SHIP}\n{SHIP}\n/set recall 1\n{bread}\n/context\n");
    let output = repl(&home, &lines);
    assert!(output.stderr.contains("Retrieved: #2"), "{}", output.stderr);
    let shown = output.text();
    assert!(shown.contains("retrieved #2"), "{shown}");
    assert!(
        shown.contains("[Earlier: In the village the baker"),
        "{shown}"
    );
    // A different end of the story retrieves a different passage.
    let hoard = "He dreamt of the red dragon asleep on its gold under the mountain.";
    let output = repl(
        &home,
        &format!("{hoard}\n/lore why\n/set recall 0\n/context\n"),
    );
    assert!(output.stderr.contains("Retrieved: #0"), "{}", output.stderr);
    let shown = output.text();
    assert!(shown.contains("retrieved (similarity"), "{shown}");
    assert!(!shown.contains("[Earlier:"), "{shown}");
}

#[test]
fn lore_that_nothing_names_is_found_by_its_meaning() {
    let home = Home::with_encoder();
    let lines = "/lore add Zyx: The oven in the bakery was built by Tobias.\n\
        /lore add Qrs: Dragons fear nothing but bells.\n\
        /set recall 1\nThe smell of fresh bread filled the street.\n/context\n";
    let output = repl(&home, lines);
    assert!(
        output.stderr.contains("Retrieved: lore Zyx"),
        "{}",
        output.stderr
    );
    assert!(output.text().contains("lore: Zyx"), "{}", output.text());
    assert!(!output.text().contains("lore: Qrs"), "{}", output.text());
}

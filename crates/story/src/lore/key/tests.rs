use super::*;

fn occurs(key: &str, text: &str) -> Occurs {
    let key = Key::new(key, false, false, false).unwrap();
    key.is_in(&Haystack::new(text))
}

fn is_in(key: &str, case: bool, whole: bool, text: &str) -> bool {
    let key = Key::new(key, case, whole, false).unwrap();
    key.is_in(&Haystack::new(text)) == Occurs::Yes
}

#[test]
fn words_are_found_as_the_entry_says() {
    assert!(is_in("Rose", false, false, "The primrose path"));
    assert!(!is_in("Rose", false, true, "The primrose path"));
    assert!(is_in("rose", false, true, "A Rose, red."));
    assert!(!is_in("rose", true, true, "A Rose, red."));
    assert!(is_in("red rose", false, true, "hundred roses"));
    assert!(!is_in("", false, false, "anything"));
    assert!(is_in("@home", false, true, "be @home"), "signs at the edge");
    assert!(is_in("(mast)", false, true, "the(mast)head"));
}

#[test]
fn whole_words_of_scripts_without_spaces_stand_in_a_run() {
    for (key, text) in [
        ("灯台", "古い灯台は崖の上に立つ"),
        ("とうだい", "ふるいとうだいのあかり"),
        ("ลำพู", "เสือลำพูส่องแสง"),
        ("등대", "등대에서 기다렸다"),
        ("Skarn", "彼はSkarnへ行った"),
    ] {
        assert!(is_in(key, false, true, text), "{key}");
    }
    assert!(!is_in("Анна", false, true, "Марианна"));
    assert!(!is_in("été", false, true, "répétées"));
}

#[test]
fn an_accent_or_a_case_is_the_same_however_it_is_stored() {
    for (key, text) in [
        ("Žofie", "a z\u{30c}ofie řekla"),
        ("Z\u{30c}OFIE", "a Žofie řekla"),
        ("Ма\u{438}\u{306}я", "там Майя"),
        ("FUSSWEG", "der Fußweg am See"),
        ("fußweg", "DER FUSSWEG"),
        ("산책", "\u{1109}\u{1161}\u{11ab}\u{110e}\u{1162}\u{11a8}"),
    ] {
        assert!(is_in(key, false, true, text), "{key}");
        assert!(is_in(key, false, false, text), "{key}");
    }
    assert!(is_in("Žofie", true, true, "a Z\u{30c}ofie"));
    assert!(!is_in("Žofie", true, true, "a z\u{30c}ofie"));
    assert!(!is_in("resume", false, true, "a re\u{301}sume\u{301}"));
    assert!(!is_in("rou", false, true, "le roué"));
}

#[test]
fn regexes_stand_between_slashes() {
    assert!(is_in("/dra(gon|ke)/i", false, false, "A Drake!"));
    assert!(!is_in("/dra(gon|ke)/", false, false, "A Drake!"));
    assert!(is_in("/and\\/or/", false, false, "and/or"));
    assert!(is_in("/usr/share/", false, false, "in /usr/share/ now"));
    assert!(!is_in("/usr/share/", false, false, "usr/share"));
    assert!(Key::new("/(a{1000}){1000}{1000}/", false, false, false).is_err());
}

#[test]
fn javascript_is_read_as_a_browser_reads_it() {
    for (key, yes, no) in [
        ("/fire(?!place)/i", "the Fire", "a fireplace"),
        ("/(?<!un)even/", "even so", "uneven"),
        ("/(?<=the )mast/", "the mast", "a mast"),
        ("/(['`])oak\\1/", "'oak'", "'oak`"),
        ("/(?<q>['`])oak\\k<q>/", "`oak`", "'oak`"),
        ("/(a)?\\1b$/", "b", "x"),
        ("/{oar}/", "an {oar}", "an oar"),
        ("/{{char}}|{oar/", "{{char}}", "char"),
        ("/^[[]oar]$/", "[oar]", "oar]"),
        ("/a]b/", "a]b", "ab"),
        ("/salt\\-water/u", "salt-water", "saltwater"),
        ("/^[^]oar/", "\noar", "oar"),
        ("/[]oar/", "", "]oar"),
        ("/^\\d+$/", "12", "१२"),
        ("/^\\w$/", "a", "é"),
        ("/\\bé/", "aé", " é"),
        ("/\\u{1F4A1}/u", "a 💡", "u"),
        ("/\\ud83d\\udca1/", "a 💡", "u"),
        ("/u{3}/", "uuu", "uu"),
        ("/\\x41\\u0042/", "AB", "ab"),
        ("/^o.r$/", "oar", "o\nr"),
        ("/^o.r$/s", "o\nr", "oor x"),
        ("/^oar$/m", "a\noar\nb", "an oar"),
        ("/oar/y", "oars", "an oar"),
        ("/[\\w-]x|[a\\-z]y/", "-x", "by"),
        ("/[a&&b#~]1/", "&1", "c1"),
        ("/\\p{Script=Greek}/u", "λ", "l"),
        ("/a{,2}/", "a{,2}", "aa"),
        ("/\\Boar/", "roar", "oar"),
    ] {
        assert_eq!(occurs(key, no), Occurs::No, "{key} {no}");
        if !yes.is_empty() {
            assert_eq!(occurs(key, yes), Occurs::Yes, "{key} {yes}");
        }
    }
}

#[test]
fn what_javascript_refuses_is_refused_with_a_reason() {
    for (key, why) in [
        ("/(oar/", "not closed"),
        ("/oar)/", "not open"),
        ("/*oar/", "nothing to repeat"),
        ("/oar++/", "nothing to repeat"),
        ("/[z-a]/", "backwards"),
        ("/[oar/", "not closed"),
        ("/(?#oar)/", "unknown character"),
        ("/(?<a>x)\\k<b>/", "does not have"),
    ] {
        let error = Key::new(key, false, false, false).unwrap_err();
        assert!(error.contains(why), "{key}: {error}");
    }
    let long = format!("/{}/", "a".repeat(5000));
    assert!(Key::new(&long, false, false, false).is_err());
}

#[test]
fn a_regex_that_backtracks_for_ever_is_stopped() {
    let text = format!("{}!", "a".repeat(60_000));
    assert_eq!(occurs("/^(a+)+$/", &text), Occurs::No, "in linear time");
    let forked = "/(?:a(?=a|!)|a(?!b))+$/";
    assert_eq!(occurs(forked, &text), Occurs::Stopped);
    assert_eq!(occurs("/(a*)*\\1b/", &text), Occurs::Stopped);
    assert_eq!(occurs("/(?<!b)!/", &text), Occurs::Yes);
}

#[test]
fn keys_that_seem_regexes_and_are_none_are_remarked_on() {
    assert!(Key::remark("/oar/gx").unwrap().contains("as words"));
    assert!(Key::remark("/oar/y").unwrap().contains("beginning"));
    for plain in ["/oar/gi", "oar", "/usr/share/doc", "//", "/"] {
        assert_eq!(Key::remark(plain), None, "{plain}");
    }
}

#[test]
fn a_regex_finds_accents_however_they_are_stored() {
    let (one, two) = ("caf\u{e9}", "cafe\u{301}");
    for key in [one, two] {
        for text in [one, two] {
            let text = format!("In the {text}.");
            for pattern in [format!("/{key}/"), format!("/(?<=the ){key}\\./")] {
                assert_eq!(occurs(&pattern, &text), Occurs::Yes, "{pattern}: {text}");
            }
        }
    }
}

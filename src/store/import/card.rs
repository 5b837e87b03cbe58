//! Imports character cards, with their lorebooks.

use super::{ImportError, escapes, json_text, lore, one_line};
use serde_json::{Map, Value};
use story::card::Card;
use story::import::Import;

/// Parses the JSON of a card. The returned notices say what was left out.
pub fn parse(json: Vec<u8>, name: &str) -> Result<(Import, Vec<String>), ImportError> {
    let text = json_text(json)?;
    let (json, halves) = escapes::mend_halves(text.trim_end_matches('\0'));
    let file: Map<String, Value> =
        serde_json::from_str(&json).map_err(|error| ImportError::Json(one_line(&error)))?;
    let (content, mut notices) = from_object(file, name)?;
    notices.extend(escapes::notice(halves));
    Ok((content, notices))
}

/// Parses the card in a JSON object, and the lorebook inside the card.
pub fn from_object(
    file: Map<String, Value>,
    name: &str,
) -> Result<(Import, Vec<String>), ImportError> {
    let spec = file.get("spec").and_then(Value::as_str);
    let none = match spec {
        Some("chara_card_v2" | "chara_card_v3") => ImportError::BlankCard,
        _ => ImportError::Unknown,
    };
    let (mut card, book) = Card::from_json(file).ok_or(none)?;
    let mut notices = Vec::new();
    let (blank, named) = (card.is_blank(), card.has_name());
    if !named {
        card.file_name = name.to_string();
    }
    let name = card.own_name();
    let book = book.and_then(|book| lore::parse_card_book(&book, &name, card.version));
    let book = book.map(|read| {
        notices.extend(read.notices);
        read.book
    });
    if blank && book.as_ref().is_none_or(|book| book.entries.is_empty()) {
        return Err(ImportError::BlankCard);
    }
    if !named {
        notices.insert(
            0,
            format!("the card has no name, so it is called {name} after its file"),
        );
    }
    let (card, file) = (Box::new(card), None);
    Ok((Import::Card { card, book, file }, notices))
}

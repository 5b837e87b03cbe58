//! A map from strings to numbers, built in one pass. All strings are stored in one buffer, so a
//! vocabulary of 262,144 tokens does not need an allocation per token.

use ahash::RandomState;

pub struct StringMap {
    text: String,
    /// The position in `text` at which each string ends. A string begins at the end of the previous
    /// string.
    ends: Vec<u32>,
    numbers: Vec<u32>,
    /// The slots of the hash table. Each slot contains the index of a string plus one, or 0 if the
    /// slot is empty. The number of slots is a power of two and at least twice the number of
    /// strings.
    places: Vec<u32>,
    hasher: RandomState,
}

impl StringMap {
    /// Builds the map. If a string occurs more than once, the number of its last occurrence is
    /// used. `about` is the approximate number of strings.
    pub fn new<'a>(texts: impl Iterator<Item = (&'a str, u32)>, about: usize) -> StringMap {
        let mut map = StringMap {
            text: String::with_capacity(about * 8),
            ends: Vec::with_capacity(about),
            numbers: Vec::with_capacity(about),
            places: Vec::new(),
            hasher: RandomState::with_seeds(1, 2, 3, 4),
        };
        for (text, number) in texts {
            // Text beyond 4 GB, which no vocabulary has, is ignored.
            let Ok(end) = u32::try_from(map.text.len() + text.len()) else {
                break;
            };
            map.text.push_str(text);
            map.ends.push(end);
            map.numbers.push(number);
        }
        map.places = vec![0; (map.ends.len() * 2).next_power_of_two()];
        for index in 0..map.ends.len() {
            let place = map.place(map.at(index));
            map.places[place] = index as u32 + 1;
        }
        map
    }

    pub fn get(&self, text: &str) -> Option<u32> {
        let index = self.places[self.place(text)].checked_sub(1)?;
        Some(self.numbers[index as usize])
    }

    /// Returns the slot that contains `text`, or the empty slot in which `text` would be stored.
    fn place(&self, text: &str) -> usize {
        let mask = self.places.len() - 1;
        let mut place = self.hasher.hash_one(text) as usize & mask;
        while let Some(index) = self.places[place].checked_sub(1) {
            if self.at(index as usize) == text {
                break;
            }
            place = (place + 1) & mask;
        }
        place
    }

    fn at(&self, index: usize) -> &str {
        let start = index.checked_sub(1).map_or(0, |before| self.ends[before]);
        &self.text[start as usize..self.ends[index] as usize]
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use proptest::prelude::*;
    use std::collections::HashMap;

    proptest! {
        #[test]
        fn it_is_a_map(texts in proptest::collection::vec("[abé]{0,3}", 0..60), other in "[abé]{0,3}") {
            let numbered = || texts.iter().map(String::as_str).zip(7u32..);
            let (map, real) = (StringMap::new(numbered(), 0), numbered().collect::<HashMap<_, _>>());
            for text in texts.iter().chain([&other]) {
                prop_assert_eq!(map.get(text), real.get(text.as_str()).copied());
            }
        }
    }
}

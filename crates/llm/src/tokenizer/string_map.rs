//! A map from strings to numbers, built in one pass. All strings share one allocation, so a
//! vocabulary of 262,144 tokens takes two allocations instead of one per token.

use ahash::RandomState;

pub struct StringMap {
    text: String,
    /// Where each text ends; it begins where the previous one ends.
    ends: Vec<u32>,
    numbers: Vec<u32>,
    /// Hash slots: each is an index into `ends` plus one, or 0 if empty. Their number is a power of
    /// two, at least twice that of the texts.
    places: Vec<u32>,
    hasher: RandomState,
}

impl StringMap {
    /// Builds the map; of two equal texts, the later one counts.
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

    /// The slot where this text is or would be.
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

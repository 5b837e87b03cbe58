//! Decodes MessagePack in the variant of the JavaScript library msgpackr, which no MessagePack
//! crate can decode. The variant has two extensions. A record (`r`) defines a list of keys once,
//! and each further object with these keys states only the number of the record. A bundle (`b`)
//! stores all strings together after the values, and each value states only the length of its
//! string.
//!
//! Lengths stated in the file are never used to allocate memory, and the depth and number of values
//! are limited.

/// A decoded value.
#[derive(Clone, Debug, PartialEq)]
pub enum Packed {
    /// Null, a boolean, or a value that is not needed.
    Nothing,
    Number(i64),
    Text(String),
    List(Vec<Packed>),
    Map(Vec<(Packed, Packed)>),
}

impl Packed {
    pub fn get(&self, key: &str) -> Option<&Packed> {
        let pairs = self.pairs()?;
        let found = pairs.iter().find(|(name, _)| name.text() == Some(key))?;
        Some(&found.1).filter(|value| **value != Packed::Nothing)
    }

    pub fn text(&self) -> Option<&str> {
        match self {
            Packed::Text(text) => Some(text),
            Packed::Nothing | Packed::Number(_) | Packed::List(_) | Packed::Map(_) => None,
        }
    }

    pub fn number(&self) -> Option<i64> {
        match self {
            Packed::Number(number) => Some(*number),
            Packed::Nothing | Packed::Text(_) | Packed::List(_) | Packed::Map(_) => None,
        }
    }

    pub fn list(&self) -> Option<&[Packed]> {
        match self {
            Packed::List(list) => Some(list),
            Packed::Nothing | Packed::Number(_) | Packed::Text(_) | Packed::Map(_) => None,
        }
    }

    pub fn pairs(&self) -> Option<&[(Packed, Packed)]> {
        match self {
            Packed::Map(pairs) => Some(pairs),
            Packed::Nothing | Packed::Number(_) | Packed::Text(_) | Packed::List(_) => None,
        }
    }
}

/// The maximum nesting depth of values.
const DEEPEST: usize = 100;
/// The maximum number of values in a file.
const MOST: usize = 4_000_000;

/// Decodes one value. Returns None if the bytes are damaged, if there are too many values, or if
/// the values are nested too deeply.
pub fn decode(bytes: &[u8]) -> Option<Packed> {
    let mut reader = Reader {
        bytes,
        at: 0,
        left: MOST,
        records: Vec::new(),
        bundle: None,
    };
    reader.value(0)
}

/// The strings of a bundle in UTF-16. Latin-1 strings (`narrow`) and all other strings (`wide`) are
/// stored separately; `narrow_at` and `wide_at` are the numbers of units already taken.
struct Bundle {
    wide: Vec<u16>,
    narrow: Vec<u16>,
    wide_at: usize,
    narrow_at: usize,
}

struct Reader<'a> {
    bytes: &'a [u8],
    at: usize,
    left: usize,
    /// The records defined so far. Each consists of its number, its keys, and whether a second byte
    /// follows the number.
    records: Vec<(i64, Vec<String>, bool)>,
    bundle: Option<Bundle>,
}

impl<'a> Reader<'a> {
    fn take(&mut self, length: usize) -> Option<&'a [u8]> {
        let taken = self.bytes.get(self.at..self.at.checked_add(length)?)?;
        self.at += length;
        Some(taken)
    }

    fn byte(&mut self) -> Option<u8> {
        Some(self.take(1)?[0])
    }

    fn length(&mut self, bytes: usize) -> Option<usize> {
        let read = self.take(bytes)?.iter();
        Some(read.fold(0, |number, byte| number << 8 | usize::from(*byte)))
    }

    fn value(&mut self, depth: usize) -> Option<Packed> {
        self.left = self.left.checked_sub(1)?;
        if depth > DEEPEST {
            return None;
        }
        let token = self.byte()?;
        Some(match token {
            0x40..=0x7f if self.record(token).is_some() => self.read_record(token, depth)?,
            0..=0x7f => Packed::Number(i64::from(token)),
            0xe0.. => Packed::Number(i64::from(token as i8)),
            0x80..=0x8f => self.map(usize::from(token & 15), depth)?,
            0x90..=0x9f => self.list(usize::from(token & 15), depth)?,
            0xa0..=0xbf => self.string(usize::from(token & 31))?,
            0xc0 | 0xc2 | 0xc3 => Packed::Nothing,
            0xc1 => self.bundled(depth)?,
            0xc4..=0xc6 => {
                let length = self.length(1 << (token - 0xc4))?;
                self.take(length)?;
                Packed::Nothing
            }
            0xc7..=0xc9 => {
                let length = self.length(1 << (token - 0xc7))?;
                self.extension(length, depth)?
            }
            0xca => self.float(4)?,
            0xcb => self.float(8)?,
            0xcc..=0xcf => {
                let bytes = self.take(1 << (token - 0xcc))?.iter();
                let number = bytes.fold(0u64, |number, byte| number << 8 | u64::from(*byte));
                Packed::Number(i64::try_from(number).ok()?)
            }
            0xd0..=0xd3 => {
                let length = 1 << (token - 0xd0);
                let bytes = self.take(length)?;
                let sign = i64::from(bytes[0] as i8 >> 7);
                let number = bytes
                    .iter()
                    .fold(sign, |number, byte| number << 8 | i64::from(*byte));
                Packed::Number(number)
            }
            0xd4..=0xd8 => self.extension(1 << (token - 0xd4), depth)?,
            0xd9..=0xdb => {
                let length = self.length(1 << (token - 0xd9))?;
                self.string(length)?
            }
            0xdc | 0xdd => {
                let length = self.length(2 << (token - 0xdc))?;
                self.list(length, depth)?
            }
            0xde | 0xdf => {
                let length = self.length(2 << (token - 0xde))?;
                self.map(length, depth)?
            }
        })
    }

    fn string(&mut self, length: usize) -> Option<Packed> {
        let bytes = self.take(length)?;
        Some(Packed::Text(String::from_utf8_lossy(bytes).into_owned()))
    }

    fn float(&mut self, bytes: usize) -> Option<Packed> {
        let read = self.take(bytes)?;
        let number = match read.try_into() {
            Ok(double) => f64::from_be_bytes(double),
            Err(_) => f64::from(f32::from_be_bytes(read.try_into().ok()?)),
        };
        let whole = number.fract() == 0.0 && number.abs() < 1e15;
        Some(if whole {
            Packed::Number(number as i64)
        } else {
            Packed::Nothing
        })
    }

    fn list(&mut self, length: usize, depth: usize) -> Option<Packed> {
        let mut list = Vec::new();
        for _ in 0..length {
            list.push(self.value(depth + 1)?);
        }
        Some(Packed::List(list))
    }

    fn map(&mut self, length: usize, depth: usize) -> Option<Packed> {
        let mut pairs = Vec::new();
        for _ in 0..length {
            pairs.push((self.value(depth + 1)?, self.value(depth + 1)?));
        }
        Some(Packed::Map(pairs))
    }

    fn extension(&mut self, length: usize, depth: usize) -> Option<Packed> {
        let kind = self.byte()?;
        let data = self.at;
        match (kind, length) {
            // A record: its number in one byte, or in two.
            (b'r', 1) => {
                let id = i64::from(self.byte()? & 0x3f);
                self.define(id, false, depth)
            }
            (b'r', 2) => {
                let low = i64::from(self.byte()? & 0x3f);
                let high = self.byte()?;
                let id = wide_id(low, high);
                self.define(id, high == 0, depth)
            }
            (b'b', 4) => {
                let size = self.length(4)?;
                let here = self.at;
                self.at = data.checked_add(size)?;
                let (wide, narrow) = (self.value(depth + 1)?, self.value(depth + 1)?);
                let units = |text: Packed| text.text().map(|it| it.encode_utf16().collect());
                self.bundle = Some(Bundle {
                    wide: units(wide).unwrap_or_default(),
                    narrow: units(narrow).unwrap_or_default(),
                    wide_at: 0,
                    narrow_at: 0,
                });
                self.at = here;
                self.value(depth + 1)
            }
            // NovelAI's own classes: the extension type is the class, and the value follows.
            (20 | 30 | 31 | 40 | 41 | 42, 1) => {
                self.byte()?;
                self.value(depth + 1)
            }
            _ => {
                self.take(length)?;
                Some(Packed::Nothing)
            }
        }
    }

    /// Reads the length of a string in UTF-16 units, then takes the string from the bundle. The
    /// length is negative if the string is not Latin-1.
    fn bundled(&mut self, depth: usize) -> Option<Packed> {
        let length = self.value(depth + 1)?.number()?;
        let bundle = self.bundle.as_mut()?;
        let (units, at) = match length > 0 {
            true => (&bundle.narrow, &mut bundle.narrow_at),
            false => (&bundle.wide, &mut bundle.wide_at),
        };
        let end = at.checked_add(usize::try_from(length.unsigned_abs()).ok()?)?;
        let text = String::from_utf16_lossy(units.get(*at..end)?);
        *at = end;
        Some(Packed::Text(text))
    }

    fn define(&mut self, id: i64, more: bool, depth: usize) -> Option<Packed> {
        let keys = self.value(depth + 1)?;
        let keys = keys.list()?.iter();
        let keys: Vec<String> = keys
            .map(|key| key.text().unwrap_or_default().to_string())
            .collect();
        self.records.retain(|(known, ..)| *known != id);
        self.records.push((id, keys.clone(), more));
        self.fields(keys, depth)
    }

    fn record(&self, token: u8) -> Option<&(i64, Vec<String>, bool)> {
        let id = i64::from(token & 0x3f);
        self.records.iter().find(|(known, ..)| *known == id)
    }

    fn read_record(&mut self, token: u8, depth: usize) -> Option<Packed> {
        let (_, keys, more) = self.record(token)?.clone();
        let keys = match more {
            true => match self.byte()? {
                0 => keys,
                high => {
                    let id = wide_id(i64::from(token & 0x3f), high);
                    let found = self.records.iter().find(|(known, ..)| *known == id)?;
                    found.1.clone()
                }
            },
            false => keys,
        };
        self.fields(keys, depth)
    }

    fn fields(&mut self, keys: Vec<String>, depth: usize) -> Option<Packed> {
        let mut pairs = Vec::new();
        for key in keys {
            pairs.push((Packed::Text(key), self.value(depth + 1)?));
        }
        Some(Packed::Map(pairs))
    }
}

/// Computes the number of a record from two bytes.
fn wide_id(low: i64, high: u8) -> i64 {
    let id = (i64::from(high) << 5) + low;
    match (low < 32, high) {
        (_, 0) => low,
        (true, _) => -id,
        (false, _) => id,
    }
}

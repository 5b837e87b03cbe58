//! What a picture is drawn from besides its words, and how provenance spells it.

use super::config::{Config, TOKENS};
use super::tokens::FsqCodes;

/// A picture's code: its tokens, or where it lies among all that one pass can draw.
#[derive(Clone, Debug, PartialEq)]
pub enum EncodedPicture {
    /// Of the composed design: `[64][codes]`.
    Tokens(FsqCodes),
    /// Of the direct design: `[latent]`.
    Latent(Vec<f32>),
}

impl EncodedPicture {
    /// Two hexadecimal codes for each code of a token; eight for each number of a latent, which
    /// are its bits.
    pub fn to_hex(&self) -> String {
        match self {
            EncodedPicture::Tokens(codes) => {
                codes.0.iter().map(|code| format!("{code:02x}")).collect()
            }
            EncodedPicture::Latent(z) => z.iter().map(|x| format!("{:08x}", x.to_bits())).collect(),
        }
    }

    /// What was spelled for weights of these sizes; none where it cannot be theirs.
    pub fn from_hex(text: &str, config: &Config) -> Option<EncodedPicture> {
        let Some(direct) = config.direct else {
            let codes = hexadecimal(text, 2, TOKENS * config.codes_per_token())?;
            let levels = config.levels.iter().cycle();
            let fit = codes.iter().zip(levels).all(|(d, n)| (*d as usize) < *n);
            let codes = codes.into_iter().map(|code| code as u8).collect();
            return fit.then_some(EncodedPicture::Tokens(FsqCodes(codes)));
        };
        let bits = hexadecimal(text, 8, direct.latent)?;
        let z: Vec<f32> = bits.into_iter().map(f32::from_bits).collect();
        let finite = z.iter().all(|x| x.is_finite());
        finite.then_some(EncodedPicture::Latent(z))
    }
}

/// `count` numbers of `width` codes each, and nothing else.
fn hexadecimal(text: &str, width: usize, count: usize) -> Option<Vec<u32>> {
    let digits = text.bytes().all(|byte| byte.is_ascii_hexdigit());
    if !digits || text.len() != count * width {
        return None;
    }
    let number = |at: usize| u32::from_str_radix(&text[at * width..][..width], 16).ok();
    (0..count).map(number).collect()
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::config::Direct;

    #[test]
    fn a_latent_is_spelled_and_read_again_and_nothing_else_is() {
        let json = include_bytes!("../../../tests/reference/illuminator/config.json");
        let composed = Config::parse(json).unwrap();
        let direct = Some(Direct {
            latent: 2,
            ..Direct::SMALL
        });
        let config = Config {
            direct,
            ..composed.clone()
        };
        let code = EncodedPicture::Latent(vec![1.0, -0.3]);
        assert_eq!(code.to_hex(), "3f800000be99999a");
        assert_eq!(
            EncodedPicture::from_hex(&code.to_hex(), &config),
            Some(code.clone())
        );
        assert_eq!(EncodedPicture::from_hex(&code.to_hex(), &composed), None);
        for wrong in ["", "3f800000", "3f800000+e99999a", "3f8000007fc00000"] {
            assert_eq!(EncodedPicture::from_hex(wrong, &config), None, "{wrong}");
        }
    }
}

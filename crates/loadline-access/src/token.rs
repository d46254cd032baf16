//! Anonymous tokens: Privacy Pass with publicly verifiable tokens (RFC 9578, section 6; type 0x0002, blind RSA of 2048
//! bits, RFC 9474). The one door to `blind-rsa-signatures`.
//!
//! Whoever issues sees a blinded message and cannot tell, when the token comes back, which of them it was.

use base64::Engine as _;
use base64::alphabet;
use base64::engine::{DecodePaddingMode, GeneralPurpose, GeneralPurposeConfig};
use blind_rsa_signatures::{
    BlindSignature, KeyPairSha384PSSDeterministic, PublicKeySha384PSSDeterministic,
    SecretKeySha384PSSDeterministic, Signature,
};
use chacha20::ChaCha20Rng;
use chacha20::rand_core::SeedableRng as _;
use loadline_core::Digest;
use zeroize::Zeroizing;

/// The type of token.
pub const TOKEN_TYPE: u16 = 0x0002;
/// Bytes of an RSA number.
const NK: usize = 256;
/// Bytes of a public key of that size, with the exponent 65537.
const SPKI_LEN: usize = 342;
/// Bytes of a token before its signature: type, nonce, digest of the challenge, id of the key.
const INPUT_LEN: usize = 2 + 32 + 32 + 32;
/// Bytes of a token.
pub const TOKEN_LEN: usize = INPUT_LEN + NK;
/// Bytes of a request for a token.
pub const REQUEST_LEN: usize = 2 + 1 + NK;

/// base64url, with or without its padding: RFC 9577 asks for it, some leave it out.
const BASE64: GeneralPurpose = GeneralPurpose::new(
    &alphabet::URL_SAFE,
    GeneralPurposeConfig::new().with_decode_padding_mode(DecodePaddingMode::Indifferent),
);

/// Why something is no token, or no request for one.
#[derive(Clone, Copy, Debug, PartialEq, Eq, thiserror::Error)]
#[non_exhaustive]
pub enum TokenError {
    /// Not base64url, or not of the right length.
    #[error("this is not of the form of a token of type 0x0002")]
    Form,
    /// For another key.
    #[error("it is for another key")]
    Key,
    /// For another challenge.
    #[error("it is for another programme or another round")]
    Challenge,
    /// The signature does not hold.
    #[error("its signature does not hold")]
    Signature,
    /// The key of tokens is damaged.
    #[error("the key of tokens is damaged")]
    Damaged,
}

/// What tokens are for: a challenge (RFC 9577, section 2.1.1), the same for all of one round.
///
/// # Errors
/// When a name is too long.
pub fn challenge(programme: &str, round: &str) -> Result<Vec<u8>, TokenError> {
    let context = Digest::of_parts("loadline/access/tokens/1", &[programme.as_bytes(), round.as_bytes()]);
    challenge_of(programme, &context.0, programme)
}

fn challenge_of(issuer: &str, context: &[u8], origins: &str) -> Result<Vec<u8>, TokenError> {
    let mut bytes = TOKEN_TYPE.to_be_bytes().to_vec();
    let short = |len: usize| u16::try_from(len).map_err(|_| TokenError::Form);
    bytes.extend(short(issuer.len())?.to_be_bytes());
    bytes.extend(issuer.as_bytes());
    bytes.push(u8::try_from(context.len()).map_err(|_| TokenError::Form)?);
    bytes.extend(context);
    bytes.extend(short(origins.len())?.to_be_bytes());
    bytes.extend(origins.as_bytes());
    Ok(bytes)
}

/// The secret key that signs what it cannot see.
pub struct IssuerKey(SecretKeySha384PSSDeterministic);

impl std::fmt::Debug for IssuerKey {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.write_str("IssuerKey(masked)")
    }
}

impl IssuerKey {
    /// The key that follows from 32 random bytes. Takes seconds.
    ///
    /// # Errors
    /// When none follows.
    pub fn generate(seed: &[u8; 32]) -> Result<Self, TokenError> {
        let mut random = ChaCha20Rng::from_seed(*seed);
        let pair = KeyPairSha384PSSDeterministic::generate(&mut random, 8 * NK);
        Ok(Self(pair.map_err(|_| TokenError::Damaged)?.sk))
    }

    /// Reads a key (PKCS #8, DER).
    ///
    /// # Errors
    /// When it is none, or of another size.
    pub fn from_der(der: &[u8]) -> Result<Self, TokenError> {
        let key = Self(SecretKeySha384PSSDeterministic::from_der(der).map_err(|_| TokenError::Damaged)?);
        key.public()?;
        Ok(key)
    }

    /// The key as bytes, for a private file and nowhere else.
    ///
    /// # Errors
    /// When it is damaged.
    pub fn expose_der(&self) -> Result<Zeroizing<Vec<u8>>, TokenError> {
        self.0.to_der().map(Zeroizing::new).map_err(|_| TokenError::Damaged)
    }

    /// The public key.
    ///
    /// # Errors
    /// When it is damaged.
    pub fn public(&self) -> Result<TokenKey, TokenError> {
        TokenKey::of(self.0.public_key().map_err(|_| TokenError::Damaged)?)
    }

    /// Answers a request (RFC 9578, section 6.2). The same request gets the same answer.
    ///
    /// # Errors
    /// When it is none, or for another key.
    pub fn answer(&self, request: &[u8]) -> Result<Vec<u8>, TokenError> {
        let blinded = blinded(request, &self.public()?)?;
        Ok(self.0.blind_sign(blinded).map_err(|_| TokenError::Form)?.0)
    }
}

fn blinded<'r>(request: &'r [u8], key: &TokenKey) -> Result<&'r [u8], TokenError> {
    let blinded = request.strip_prefix(&TOKEN_TYPE.to_be_bytes()).filter(|_| request.len() == REQUEST_LEN);
    let (short_id, blinded) = blinded.and_then(<[u8]>::split_first).ok_or(TokenError::Form)?;
    // The least significant byte of the key's id (RFC 9578, section 6.1).
    if *short_id != key.id.0[31] { Err(TokenError::Key) } else { Ok(blinded) }
}

/// The public key of tokens.
#[derive(Clone, Debug)]
pub struct TokenKey {
    key: PublicKeySha384PSSDeterministic,
    spki: Vec<u8>,
    id: Digest,
}

impl TokenKey {
    fn of(key: PublicKeySha384PSSDeterministic) -> Result<Self, TokenError> {
        let spki = key.to_spki().map_err(|_| TokenError::Damaged)?;
        if spki.len() != SPKI_LEN {
            return Err(TokenError::Damaged);
        }
        let id = Digest::of(&spki);
        Ok(Self { key, spki, id })
    }

    /// Reads a key: SubjectPublicKeyInfo with RSASSA-PSS (RFC 9578, section 6.5).
    ///
    /// # Errors
    /// When it is none.
    pub fn parse(spki: &[u8]) -> Result<Self, TokenError> {
        let key = PublicKeySha384PSSDeterministic::from_spki(spki).map_err(|_| TokenError::Damaged)?;
        let key = Self::of(key)?;
        if key.spki != spki { Err(TokenError::Damaged) } else { Ok(key) }
    }

    /// Its bytes.
    pub fn spki(&self) -> &[u8] {
        &self.spki
    }

    /// SHA-256 of its bytes.
    pub fn id(&self) -> Digest {
        self.id
    }
}

/// A token that is asked for: everything follows from a seed, so the same request can be sent again.
pub struct Asked {
    key: TokenKey,
    input: Vec<u8>,
    blinding: blind_rsa_signatures::BlindingResult,
}

impl Asked {
    /// Prepares a request for one challenge. The seed has 32 random bytes that nobody else knows.
    ///
    /// # Errors
    /// When the key is damaged.
    pub fn new(key: TokenKey, challenge: &[u8], seed: &[u8; 32]) -> Result<Self, TokenError> {
        let nonce = Digest::of_parts("loadline/access/token-nonce/1", &[seed]);
        let blind_seed = Digest::of_parts("loadline/access/token-blind/1", &[seed]);
        Self::with(key, challenge, &nonce.0, &mut ChaCha20Rng::from_seed(blind_seed.0))
    }

    fn with(
        key: TokenKey,
        challenge: &[u8],
        nonce: &[u8; 32],
        random: &mut impl chacha20::rand_core::CryptoRng,
    ) -> Result<Self, TokenError> {
        let parts: [&[u8]; 4] = [&TOKEN_TYPE.to_be_bytes(), nonce, &Digest::of(challenge).0, &key.id.0];
        let input = parts.concat();
        let blinding = key.key.blind(random, &input).map_err(|_| TokenError::Damaged)?;
        Ok(Self { key, input, blinding })
    }

    /// What is sent (RFC 9578, section 6.1).
    pub fn request(&self) -> Vec<u8> {
        let parts: [&[u8]; 3] =
            [&TOKEN_TYPE.to_be_bytes(), &self.key.id.0[31..], self.blinding.blind_message.as_ref()];
        parts.concat()
    }

    /// The token, from the answer (RFC 9578, section 6.3).
    ///
    /// # Errors
    /// When the answer is no signature of the key.
    pub fn finish(&self, answer: &[u8]) -> Result<Token, TokenError> {
        let answer = BlindSignature(answer.to_vec());
        let signature = self.key.key.finalize(&answer, &self.blinding, &self.input);
        let signature = signature.map_err(|_| TokenError::Signature)?;
        Ok(Token([self.input.as_slice(), signature.as_ref()].concat()))
    }
}

/// A token. Whoever has it can use it, once.
#[derive(Clone, PartialEq, Eq)]
pub struct Token(Vec<u8>);

impl std::fmt::Debug for Token {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.write_str("Token(masked)")
    }
}

impl Token {
    /// Reads a token as text.
    ///
    /// # Errors
    /// When it is none.
    pub fn parse(text: &str) -> Result<Self, TokenError> {
        let bytes = if text.len() > 2 * TOKEN_LEN { None } else { BASE64.decode(text).ok() };
        let bytes = bytes.filter(|bytes| bytes.len() == TOKEN_LEN).ok_or(TokenError::Form)?;
        if bytes.starts_with(&TOKEN_TYPE.to_be_bytes()) { Ok(Self(bytes)) } else { Err(TokenError::Form) }
    }

    /// Reads it from the value of `Authorization` (RFC 9577, section 2.2).
    ///
    /// # Errors
    /// When that has no token of this kind.
    pub fn from_authorization(value: &str) -> Result<Self, TokenError> {
        let (scheme, rest) = value.split_once(' ').ok_or(TokenError::Form)?;
        let token =
            rest.trim().strip_prefix("token=").filter(|_| scheme.eq_ignore_ascii_case("PrivateToken"));
        let token = token.ok_or(TokenError::Form)?;
        Self::parse(token.strip_prefix('"').and_then(|token| token.strip_suffix('"')).unwrap_or(token))
    }

    /// As text: base64url.
    pub fn expose(&self) -> String {
        BASE64.encode(&self.0)
    }

    /// Its nullifier: by this it is known that it was used. Another signature over the same changes nothing.
    pub fn nullifier(&self) -> Digest {
        Digest::of_parts("loadline/access/nullifier/1", &[&self.0[..INPUT_LEN]])
    }

    /// Checks it for one challenge.
    ///
    /// # Errors
    /// When it is for another, for another key, or its signature does not hold.
    pub fn verify(&self, key: &TokenKey, challenge: &[u8]) -> Result<(), TokenError> {
        if self.0[34..66] != Digest::of(challenge).0 {
            return Err(TokenError::Challenge);
        }
        if self.0[66..INPUT_LEN] != key.id.0 {
            return Err(TokenError::Key);
        }
        let (input, signature) = self.0.split_at(INPUT_LEN);
        let signature = Signature(signature.to_vec());
        key.key.verify(&signature, None, input).map_err(|_| TokenError::Signature)
    }
}

//! Steps that carry files out of the room and in.

use std::path::Path;

use base64::Engine as _;
use base64::engine::general_purpose::STANDARD as BASE64;

use super::room::Room;
use super::{RunError, softhsm_copy};
use crate::ceremony::artefact::name;
use crate::ceremony::exchange::{self, Item, Kind, Payload};
use crate::ceremony::plan::{Export, ImportCsr};
use crate::ceremony::transcript::Fact;
use crate::ceremony::words;
use crate::pki::CertificateRequest;

impl Room<'_> {
    pub(super) fn import_request(&mut self, step: &str, s: &ImportCsr) -> Result<(), RunError> {
        let before = self.past.iter().find_map(|f| match f {
            Fact::Input { step: at, content, .. } if at == step => BASE64.decode(content).ok(),
            _ => None,
        });
        let bytes = match before {
            Some(bytes) => bytes,
            None if self.is_rehearsed() => {
                let subject = name(&self.subject(&s.subject))?;
                softhsm_copy::stand_in_request(s.algorithm.kind(), &subject)?
            }
            None => self.input(Path::new(&s.file), None, "request")?,
        };
        let der = self.request_of(step, s, &bytes)?;
        let request =
            CertificateRequest::from_der(&der).map_err(|e| Self::stop(step, e.to_string()))?;
        request.verify_possession().map_err(|e| Self::stop(step, e.to_string()))?;
        if s.algorithm.kind() != request.public_key().kind() {
            let found = request.public_key().kind();
            return Err(Self::stop(
                step,
                format!("the request's key is {found}, and the plan wants {}", s.algorithm.name()),
            ));
        }
        let shown = crate::pki::name::display(request.subject());
        let wanted = crate::pki::name::display(&name(&self.subject(&s.subject))?);
        if shown != wanted {
            return Err(Self::stop(
                step,
                format!("the request is for «{shown}», and the plan wants «{wanted}»"),
            ));
        }
        let digest = request.fingerprint();
        self.desk.show(&format!("Request for {shown}; its SHA-256 in words:"));
        self.desk.show(&format!("    {}", words::words(&digest)));
        let phrase = words::phrase(&digest);
        let typed = self.ask(
            step,
            "Type the first word and the last four from the requester's paper:",
            &phrase,
        )?;
        if !words::is_phrase(&typed, &digest) {
            return Err(Self::stop(step, "these are not the words of this request"));
        }
        self.record_input(step, Path::new(&s.file), "csr", &bytes)?;
        self.requests.insert(step.to_owned(), request);
        self.imported.insert(step.to_owned(), bytes);
        Ok(())
    }

    /// The PKCS#10 request of an exchange message, or of a bare file.
    fn request_of(&mut self, step: &str, s: &ImportCsr, bytes: &[u8]) -> Result<Vec<u8>, RunError> {
        if bytes.first() != Some(&b'{') {
            // What stands in for a request in a rehearsal is signed by nobody.
            if s.signer_sha256.is_some() && !self.is_rehearsed() {
                return Err(Self::stop(
                    step,
                    "the plan wants a signed exchange message, and this is a bare request",
                ));
            }
            return Ok(match der::pem::decode_vec(bytes) {
                Ok((_, der)) => der,
                Err(_) => bytes.to_vec(),
            });
        }
        let message = exchange::read(bytes)?;
        message.check(Kind::Request, s.signer_sha256.as_deref(), self.options.clock.now())?;
        self.desk.show(&format!("The message is signed by the key {}:", message.signer_sha256()));
        self.desk.show(&format!("    {}", words::words(&message.signer.fingerprint())));
        let item = message.payload.items.iter().find(|i| i.form == "csr");
        let item =
            item.ok_or_else(|| Self::stop(step, "the message holds no certification request"))?;
        let content = item.bytes()?;
        Ok(match der::pem::decode_vec(&content) {
            Ok((_, der)) => der,
            Err(_) => content,
        })
    }

    pub(super) fn export(&mut self, step: &str, s: &Export) -> Result<(), RunError> {
        let mut items = Vec::new();
        for item in &s.items {
            for (file, form) in self.files.get(item).cloned().unwrap_or_default() {
                items.push(Item::new(&file, &form, &self.output.read(&file)?));
            }
        }
        let request = s.reply_to.as_ref().and_then(|r| self.imported.get(r)).cloned();
        let request =
            request.filter(|r| r.first() == Some(&b'{')).map(|r| exchange::read(&r)).transpose()?;
        let kind = if s.reply_to.is_some() { Kind::Response } else { Kind::Request };
        let payload = match self.earlier(step, "exchange message") {
            Some(tbs) => payload_of(&tbs)
                .ok_or_else(|| Self::stop(step, "the earlier message cannot be read"))?,
            None => {
                let nonce = match &request {
                    Some(request) => request.payload.nonce.clone(),
                    None => hex::encode(crate::random::bytes::<32>(self.options.random.as_ref())?),
                };
                let mut payload = Payload::new(kind, nonce, self.digest.hex(), items);
                let now = self.options.clock.now();
                payload.created = now.unix_seconds();
                payload.expires = s.expires.after(now).unix_seconds();
                payload.request_sha256 = request.map(|r| r.sha256);
                payload
            }
        };
        let Some(key) = self.keys.get(&s.key).cloned() else {
            return Err(Self::stop(step, format!("there is no key {}", s.key)));
        };
        let tbs = payload.to_be_signed()?;
        let signature = self.sign_plain(step, "exchange message", &key, &tbs)?;
        let message = payload.message(&key.public, &signature)?;
        let form = if kind == Kind::Request { "exchange-request" } else { "exchange-response" };
        self.desk.show(&format!("The message is signed by the key {}", key.record.spki_sha256));
        self.desk.show(&format!("    {}", words::words(&key.public.fingerprint())));
        self.write(step, &s.out, form, &message)
    }
}

fn payload_of(tbs: &[u8]) -> Option<Payload> {
    serde_json::from_slice(tbs.strip_prefix(b"chancery-exchange-1\0")?).ok()
}

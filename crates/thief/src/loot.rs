//! Reading a stolen server: its database, its keys, its certificate.

use std::path::Path;
use std::sync::Arc;

use anyhow::Context;
use countersign_trust::chain::{Chain, Inclusion};
use countersign_trust::delivery::News;
use countersign_trust::envelope::{Logged, Signed};
use countersign_trust::ids::{DeviceId, OrgId, Sha256};
use countersign_trust::note::{KeyKind, NoteSigner};
use countersign_trust::sshsig::SshSigner;
use countersign_wire::frame::ALPN;
use rustls::pki_types::pem::PemObject;
use rustls::pki_types::{CertificateDer, PrivateKeyDer};
use rustls::server::danger::{ClientCertVerified, ClientCertVerifier};
use rustls::{DigitallySignedStruct, DistinguishedName, ServerConfig, SignatureScheme};
use sqlx::sqlite::{SqliteConnectOptions, SqlitePool};

/// Everything a server has.
pub struct Loot {
    /// The organization's chain, as the server held it.
    pub chain: Chain,
    /// The hashes of the log's leaves.
    pub leaves: Vec<Sha256>,
    /// Jobs, newest last.
    pub jobs: Vec<StolenJob>,
    /// Devices, sorted.
    pub devices: Vec<DeviceId>,
    db: SqlitePool,
    origin: String,
    log_seed: [u8; 32],
    halt_seed: [u8; 32],
    certificate: CertificateDer<'static>,
    key: PrivateKeyDer<'static>,
}

/// A job as the server held it.
pub struct StolenJob {
    /// What people signed so far.
    pub signed: Signed,
    /// Whether it had been logged.
    pub logged: bool,
    /// Its targets, sorted.
    pub targets: Vec<DeviceId>,
}

impl Loot {
    /// Reads the copy of the server's folder; of several organizations the one with the most devices.
    pub async fn take(folder: &Path) -> anyhow::Result<Self> {
        let options = SqliteConnectOptions::new().filename(folder.join("countersign.db"));
        let db = SqlitePool::connect_with(options).await.context("no database in the loot")?;
        let (org,): (String,) =
            sqlx::query_as("SELECT org FROM device GROUP BY org ORDER BY count(*) DESC LIMIT 1")
                .fetch_one(&db)
                .await?;
        let (origin, log_seed, halt_seed): (String, Vec<u8>, Vec<u8>) =
            sqlx::query_as("SELECT log_origin, log_seed, halt_seed FROM org_key WHERE org = $1")
                .bind(&org)
                .fetch_one(&db)
                .await?;
        let certificate =
            CertificateDer::from_pem_file(folder.join("tls.pem")).context("no certificate in the loot")?;
        let key = PrivateKeyDer::from_pem_file(folder.join("tls.pem")).context("no TLS key in the loot")?;
        Ok(Self {
            chain: chain(&db, &org).await?,
            leaves: leaves(&db, &org).await?,
            jobs: jobs(&db, &org).await?,
            devices: devices(&db, &org).await?,
            db,
            origin,
            log_seed: log_seed.as_slice().try_into().context("a log seed that is not 32 bytes")?,
            halt_seed: halt_seed.as_slice().try_into().context("a halt seed that is not 32 bytes")?,
            certificate,
            key,
        })
    }

    /// Writes a leaf into the stolen database, as the server does: a thief in the server's place leaves the log whole, or
    /// no witness would cosign it any more.
    pub async fn write_leaf(&self, place: usize, hash: &Sha256, entry: &str) -> anyhow::Result<()> {
        const WIDTH: usize = 256;
        let (org, tile) = (self.chain.org().to_string(), i64::try_from(place / WIDTH)?);
        let mut transaction = self.db.begin().await?;
        sqlx::query("INSERT INTO leaf (org, log, place, hash, entry) VALUES ($1, 1, $2, $3, $4)")
            .bind(&org)
            .bind(i64::try_from(place)?)
            .bind(hash.to_string())
            .bind(entry)
            .execute(&mut *transaction)
            .await?;
        let held: Option<(Vec<u8>,)> =
            sqlx::query_as("SELECT hashes FROM tile WHERE org = $1 AND level = 0 AND place = $2")
                .bind(&org)
                .bind(tile)
                .fetch_optional(&mut *transaction)
                .await?;
        let hashes = [held.map(|(hashes,)| hashes).unwrap_or_default(), hash.0.to_vec()].concat();
        sqlx::query(
            "INSERT INTO tile (org, log, level, place, hashes) VALUES ($1, 1, 0, $2, $3)
             ON CONFLICT (org, log, level, place) DO UPDATE SET hashes = excluded.hashes",
        )
        .bind(&org)
        .bind(tile)
        .bind(hashes)
        .execute(&mut *transaction)
        .await?;
        Ok(transaction.commit().await?)
    }

    /// The log's key.
    pub fn log_key(&self) -> anyhow::Result<NoteSigner> {
        Ok(NoteSigner::new(&self.origin, KeyKind::Ed25519, &self.log_seed)?)
    }

    /// The server's own halt key: the only SSH key a server has.
    pub fn halt_key(&self) -> anyhow::Result<SshSigner> {
        Ok(SshSigner::from_seed(&self.halt_seed)?)
    }

    /// The server's certificate, so that agents that pin it connect.
    pub fn tls(&self) -> anyhow::Result<ServerConfig> {
        let provider = Arc::new(rustls::crypto::ring::default_provider());
        let mut config = ServerConfig::builder_with_provider(provider.clone())
            .with_safe_default_protocol_versions()?
            .with_client_cert_verifier(Arc::new(AnyDevice(provider)))
            .with_single_cert(vec![self.certificate.clone()], self.key.clone_key())?;
        config.alpn_protocols = vec![ALPN.to_vec()];
        Ok(config)
    }
}

async fn chain(db: &SqlitePool, org: &str) -> anyhow::Result<Chain> {
    let rows: Vec<(String, String, Option<String>)> = sqlx::query_as(
        "SELECT kind, envelope, proof FROM statement WHERE org = $1 AND (leaf IS NOT NULL OR kind = 'halt')
         AND kind IN ('policy', 'resume', 'halt') ORDER BY leaf IS NULL, leaf",
    )
    .bind(org)
    .fetch_all(db)
    .await?;
    let org: OrgId = org.parse()?;
    let mut chain = None;
    for (kind, envelope, proof) in rows {
        let text = envelope + proof.as_deref().unwrap_or_default();
        match &mut chain {
            None if kind == "policy" => {
                let genesis = Logged::from_text(&text)?;
                chain = Some(Chain::begin(org, &genesis.signed, Inclusion::Proved(&genesis.proof))?);
            }
            None => {}
            Some(chain) => {
                News::from_text(&text)?.offer(chain)?;
            }
        }
    }
    chain.context("the loot holds no policy")
}

async fn leaves(db: &SqlitePool, org: &str) -> anyhow::Result<Vec<Sha256>> {
    let rows: Vec<(String,)> =
        sqlx::query_as("SELECT hash FROM leaf WHERE org = $1 ORDER BY place").bind(org).fetch_all(db).await?;
    rows.iter().map(|(hash,)| Ok(hash.parse()?)).collect()
}

async fn jobs(db: &SqlitePool, org: &str) -> anyhow::Result<Vec<StolenJob>> {
    let rows: Vec<(String, String, Option<i64>)> = sqlx::query_as(
        "SELECT envelope, targets, leaf FROM statement WHERE org = $1 AND kind = 'job' ORDER BY received_ms",
    )
    .bind(org)
    .fetch_all(db)
    .await?;
    rows.into_iter()
        .map(|(envelope, targets, leaf)| {
            // A JSON list of ids, which hold nothing that would need a parser.
            let ids = targets.split(['[', ']', '"', ',', ' ']).filter(|word| word.starts_with("dev-"));
            let targets = ids.map(|id| Ok(id.parse()?)).collect::<anyhow::Result<_>>()?;
            Ok(StolenJob { signed: Signed::from_text(&envelope)?, logged: leaf.is_some(), targets })
        })
        .collect()
}

async fn devices(db: &SqlitePool, org: &str) -> anyhow::Result<Vec<DeviceId>> {
    let rows: Vec<(String,)> =
        sqlx::query_as("SELECT id FROM device WHERE org = $1 ORDER BY id").bind(org).fetch_all(db).await?;
    rows.iter().map(|(id,)| Ok(id.parse()?)).collect()
}

/// Asks for a client certificate and takes any: the thief wants to talk to every agent.
#[derive(Debug)]
struct AnyDevice(Arc<rustls::crypto::CryptoProvider>);

impl ClientCertVerifier for AnyDevice {
    fn root_hint_subjects(&self) -> &[DistinguishedName] {
        &[]
    }

    fn verify_client_cert(
        &self,
        _: &CertificateDer<'_>,
        _: &[CertificateDer<'_>],
        _: rustls::pki_types::UnixTime,
    ) -> Result<ClientCertVerified, rustls::Error> {
        Ok(ClientCertVerified::assertion())
    }

    fn verify_tls12_signature(
        &self,
        message: &[u8],
        cert: &CertificateDer<'_>,
        dss: &DigitallySignedStruct,
    ) -> Result<rustls::client::danger::HandshakeSignatureValid, rustls::Error> {
        rustls::crypto::verify_tls12_signature(message, cert, dss, &self.0.signature_verification_algorithms)
    }

    fn verify_tls13_signature(
        &self,
        message: &[u8],
        cert: &CertificateDer<'_>,
        dss: &DigitallySignedStruct,
    ) -> Result<rustls::client::danger::HandshakeSignatureValid, rustls::Error> {
        rustls::crypto::verify_tls13_signature(message, cert, dss, &self.0.signature_verification_algorithms)
    }

    fn supported_verify_schemes(&self) -> Vec<SignatureScheme> {
        self.0.signature_verification_algorithms.supported_schemes()
    }
}

//! A provider of OIDC: the authorization code flow with PKCE, state and nonce, and what its ID token says.
//!
//! Nothing is remembered between the two halves of a login: state, nonce and verifier follow from a secret that the
//! browser keeps in a cookie.

use std::path::Path;
use std::pin::Pin;
use std::time::{Duration, Instant};

use axum::http::{Request, Response};
use openidconnect::core::CoreClientAuthMethod::{ClientSecretBasic, ClientSecretPost};
use openidconnect::core::{
    CoreAuthDisplay, CoreAuthPrompt, CoreAuthenticationFlow, CoreErrorResponseType,
    CoreGenderClaim, CoreJsonWebKey, CoreJweContentEncryptionAlgorithm, CoreJwsSigningAlgorithm,
    CoreProviderMetadata, CoreRevocableToken, CoreRevocationErrorResponse,
    CoreTokenIntrospectionResponse, CoreTokenType,
};
use openidconnect::{
    AdditionalClaims, AsyncHttpClient, AuthType, AuthorizationCode, ClaimsVerificationError,
    Client, ClientId, ClientSecret, CsrfToken, DiscoveryError, EmptyExtraTokenFields,
    EndpointMaybeSet, EndpointNotSet, EndpointSet, IdToken, IdTokenFields, IssuerUrl, Nonce,
    PkceCodeChallenge, PkceCodeVerifier, RedirectUrl, RequestTokenError, Scope,
    SignatureVerificationError, StandardErrorResponse, StandardTokenResponse, TokenResponse as _,
};
use serde::{Deserialize, Serialize};
use serde_json::{Map, Value};
use tokio::sync::Mutex;
use weir_engine::engine::Handle;

use super::http::{Http, NoAnswer};
use super::settings::Oidc;
use super::{Failure, Found, authority, grants, steps};
use crate::trust;

/// So long what a provider says of itself holds.
const KNOWN_FOR: Duration = Duration::from_mins(10);

/// Signatures that only the provider can make. None with the client's secret: others may know it.
const SIGNATURES: [CoreJwsSigningAlgorithm; 9] = [
    CoreJwsSigningAlgorithm::RsaSsaPkcs1V15Sha256,
    CoreJwsSigningAlgorithm::RsaSsaPkcs1V15Sha384,
    CoreJwsSigningAlgorithm::RsaSsaPkcs1V15Sha512,
    CoreJwsSigningAlgorithm::RsaSsaPssSha256,
    CoreJwsSigningAlgorithm::RsaSsaPssSha384,
    CoreJwsSigningAlgorithm::RsaSsaPssSha512,
    CoreJwsSigningAlgorithm::EcdsaP256Sha256,
    CoreJwsSigningAlgorithm::EcdsaP384Sha384,
    CoreJwsSigningAlgorithm::EdDsa,
];

/// All that an ID token says besides the usual.
#[derive(Clone, Debug, Serialize, Deserialize)]
struct More {
    #[serde(flatten)]
    all: Map<String, Value>,
}

impl AdditionalClaims for More {}

type Token =
    IdToken<More, CoreGenderClaim, CoreJweContentEncryptionAlgorithm, CoreJwsSigningAlgorithm>;
type Fields = IdTokenFields<
    More,
    EmptyExtraTokenFields,
    CoreGenderClaim,
    CoreJweContentEncryptionAlgorithm,
    CoreJwsSigningAlgorithm,
>;

/// What we are to the provider.
type Party = Client<
    More,
    CoreAuthDisplay,
    CoreGenderClaim,
    CoreJweContentEncryptionAlgorithm,
    CoreJsonWebKey,
    CoreAuthPrompt,
    StandardErrorResponse<CoreErrorResponseType>,
    StandardTokenResponse<Fields, CoreTokenType>,
    CoreTokenIntrospectionResponse,
    CoreRevocableToken,
    CoreRevocationErrorResponse,
    EndpointSet,
    EndpointNotSet,
    EndpointNotSet,
    EndpointNotSet,
    EndpointMaybeSet,
    EndpointMaybeSet,
>;

/// A provider.
pub(crate) struct Provider {
    settings: Oidc,
    issuer: IssuerUrl,
    back: RedirectUrl,
    http: Http,
    /// What it says of itself, with its keys, and when it was asked.
    known: Mutex<Option<(CoreProviderMetadata, Instant)>>,
}

impl Provider {
    /// One with these settings; `back` is where it sends people back to. It need not be reached yet.
    ///
    /// # Errors
    /// What is wrong with them, as people read it.
    pub(crate) async fn new(
        settings: Oidc,
        folder: &Path,
        handle: &Handle,
        back: &str,
    ) -> Result<Self, String> {
        if let Some(secret) = &settings.secret {
            secret.read(handle).await?;
        }
        let roots = authority(settings.authority.as_deref(), folder, "the provider's")?;
        let tls = trust::config(roots).map_err(|error| error.to_string())?;
        let issuer = IssuerUrl::new(settings.issuer.clone())
            .map_err(|error| format!("`{}` is no address: {error}", settings.issuer))?;
        let back = RedirectUrl::new(back.to_owned()).map_err(|error| {
            format!("`{back}` is no address: {error}\nhelp: write --public-url like https://weir.example.org")
        })?;
        let http = Http::new(tls, settings.timeout);
        Ok(Self { settings, issuer, back, http, known: Mutex::default() })
    }

    pub(crate) fn title(&self) -> &str {
        &self.settings.title
    }

    /// How long people are logged in.
    pub(crate) fn session(&self) -> Duration {
        self.settings.session
    }

    pub(crate) fn issuer(&self) -> &str {
        &self.settings.issuer
    }

    /// Where a browser that keeps `secret` is sent to.
    ///
    /// # Errors
    /// It could not be asked where that is.
    pub(crate) async fn begin(&self, secret: &str) -> Result<String, Failure> {
        let party = self.party(None, false).await?;
        let (state, nonce) = (steps::state(secret), steps::nonce(secret));
        let verifier = PkceCodeVerifier::new(steps::verifier(secret));
        let (address, ..) = party
            .authorize_url(
                CoreAuthenticationFlow::AuthorizationCode,
                || CsrfToken::new(state),
                || Nonce::new(nonce),
            )
            .add_scopes(self.settings.scopes.iter().cloned().map(Scope::new))
            .set_pkce_challenge(PkceCodeChallenge::from_code_verifier_sha256(&verifier))
            .url();
        Ok(address.to_string())
    }

    /// Who came back with `code` to a browser that keeps `secret`.
    ///
    /// # Errors
    /// It can't be told, or not believed.
    pub(crate) async fn finish(
        &self,
        handle: &Handle,
        secret: &str,
        code: String,
    ) -> Result<Found, Failure> {
        let ours = match &self.settings.secret {
            Some(ours) => Some(ours.read(handle).await.map_err(Failure::Unfit)?),
            None => None,
        };
        let ours = ours.map(|ours| ClientSecret::new(ours.expose().to_owned()));
        let party = self.party(ours.clone(), false).await?;
        let asked = party
            .exchange_code(AuthorizationCode::new(code))
            .map_err(|error| Failure::Doubtful(error.to_string()))?
            .set_pkce_verifier(PkceCodeVerifier::new(steps::verifier(secret)));
        let tokens = asked.request_async(&self.http).await.map_err(|error| match error {
            RequestTokenError::ServerResponse(said) => Failure::Refused(said.to_string()),
            RequestTokenError::Request(error) => Failure::Away(error.to_string()),
            RequestTokenError::Parse(error, _) => {
                Failure::Doubtful(format!("its answer can't be read: {error}"))
            }
            RequestTokenError::Other(why) => Failure::Doubtful(why),
        })?;
        let token = tokens
            .id_token()
            .ok_or_else(|| Failure::Doubtful("there is no ID token in its answer".to_owned()))?;
        let nonce = Nonce::new(steps::nonce(secret));
        match claims(&party, token, &nonce) {
            Err(ClaimsVerificationError::SignatureVerification(
                SignatureVerificationError::NoMatchingKey
                | SignatureVerificationError::CryptoError(_),
            )) => {
                // It may have new keys.
                let party = self.party(ours, true).await?;
                self.found(claims(&party, token, &nonce))
            }
            claims => self.found(claims),
        }
    }

    fn found(&self, claims: Result<Value, ClaimsVerificationError>) -> Result<Found, Failure> {
        let claims = claims.map_err(|error| Failure::Doubtful(told(&error)))?;
        let name = claim(&claims, &self.settings.name).and_then(Value::as_str);
        let Some(name) = name.map(str::trim).filter(|name| !name.is_empty()) else {
            return Err(Failure::Nameless(self.settings.name.clone()));
        };
        let groups = match claim(&claims, &self.settings.groups) {
            Some(Value::String(group)) => vec![group.clone()],
            Some(Value::Array(groups)) => {
                groups.iter().filter_map(Value::as_str).map(str::to_owned).collect()
            }
            Some(_) | None => Vec::new(),
        };
        let roles = grants::roles(&self.settings.roles, &groups);
        let subject = claims["sub"].as_str().unwrap_or_default();
        let subject = format!("{} {subject}", self.settings.issuer);
        Ok(Found { subject, name: name.to_owned(), roles })
    }

    /// What we are to the provider as it describes itself, now if `is_fresh`.
    async fn party(&self, secret: Option<ClientSecret>, is_fresh: bool) -> Result<Party, Failure> {
        let mut known = self.known.lock().await;
        let still = known.as_ref().filter(|(_, at)| !is_fresh && at.elapsed() < KNOWN_FOR);
        let said = if let Some((said, _)) = still {
            said.clone()
        } else {
            let said = CoreProviderMetadata::discover_async(self.issuer.clone(), &self.http)
                .await
                .map_err(|error| match error {
                    DiscoveryError::Request(error) => Failure::Away(error.to_string()),
                    DiscoveryError::Response(status, ..) if status.is_server_error() => {
                        Failure::Away(format!("it answers {status}"))
                    }
                    error => Failure::Unfit(told(&error)),
                })?;
            *known = Some((said.clone(), Instant::now()));
            said
        };
        drop(known);
        // Most take a secret in either place; some want it in the one that they name.
        let places = said.token_endpoint_auth_methods_supported();
        let is_in_body = places.is_some_and(|places| {
            places.contains(&ClientSecretPost) && !places.contains(&ClientSecretBasic)
        });
        let id = ClientId::new(self.settings.client.clone());
        let party = Party::from_provider_metadata(said, id, secret);
        let auth = if is_in_body { AuthType::RequestBody } else { AuthType::BasicAuth };
        Ok(party.set_redirect_uri(self.back.clone()).set_auth_type(auth))
    }
}

/// The crate asks through us.
impl<'a> AsyncHttpClient<'a> for Http {
    type Error = NoAnswer;
    type Future = Pin<Box<dyn Future<Output = Result<Response<Vec<u8>>, NoAnswer>> + Send + 'a>>;

    fn call(&'a self, request: Request<Vec<u8>>) -> Self::Future {
        Box::pin(self.ask(request))
    }
}

/// What a token says, if it is from the provider, for us, for this login, and in force.
fn claims(party: &Party, token: &Token, nonce: &Nonce) -> Result<Value, ClaimsVerificationError> {
    let verifier = party.id_token_verifier().set_allowed_algs(SIGNATURES);
    let claims = token.claims(&verifier, nonce)?;
    serde_json::to_value(claims).map_err(|error| ClaimsVerificationError::Other(error.to_string()))
}

/// A claim by its name; or, where there is none, by the names on the way to it, with dots between them.
fn claim<'a>(claims: &'a Value, name: &str) -> Option<&'a Value> {
    claims.get(name).or_else(|| name.split('.').try_fold(claims, |at, part| at.get(part)))
}

/// An error with all that it comes from.
fn told(error: &dyn std::error::Error) -> String {
    let mut text = error.to_string();
    let mut cause = error.source();
    while let Some(inner) = cause {
        text = format!("{text}: {inner}");
        cause = inner.source();
    }
    text
}

#[cfg(test)]
mod tests {
    use serde_json::json;

    use super::*;

    #[test]
    fn claims_are_found_by_name_or_by_way() {
        let claims = json!({ "groups": ["a"], "https://x.y/z": "b", "realm": { "roles": ["c"] } });
        assert_eq!(claim(&claims, "groups"), Some(&json!(["a"])));
        assert_eq!(claim(&claims, "https://x.y/z"), Some(&json!("b")));
        assert_eq!(claim(&claims, "realm.roles"), Some(&json!(["c"])));
        assert_eq!(claim(&claims, "realm.nothing"), None);
    }
}

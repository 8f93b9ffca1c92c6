//! Errors of the operators' plane: `{"error": {"code", "message", "remedy"}}`.
//!
//! Domain errors know no HTTP; their status is given here and nowhere else.

use axum::Json;
use axum::response::{IntoResponse, Response};
use hyper::StatusCode;
use serde::{Deserialize, Serialize};

use crate::record::Refusal;
use crate::serve::arming::{Obstacle, Obstacles};
use crate::serve::installs::ApplyError;
use crate::store::StoreError;

/// The name of what makes no sense, whatever the hosts stand at: wrong usage.
pub const BAD_REQUEST: &str = "bad-request";

/// A refusal, as it is sent.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
#[error("{}", .body.message)]
pub struct ApiError {
    status: StatusCode,
    body: Body,
}

/// What an error reply holds below `error`.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct Body {
    /// A stable name.
    pub code: String,
    /// What is wrong.
    pub message: String,
    /// What to do about it.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub remedy: Option<String>,
    /// Where several things stand against it: each of them.
    #[serde(default, skip_serializing_if = "Vec::is_empty")]
    pub refusals: Vec<RefusalOf>,
}

/// One of several refusals.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct RefusalOf {
    /// The host, or whatever was named.
    pub host: String,
    /// A stable name.
    pub code: String,
    /// What is wrong.
    pub message: String,
    /// What to do about it.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub remedy: Option<String>,
}

/// An error reply as a whole.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct Envelope {
    /// The error.
    pub error: Body,
}

impl ApiError {
    /// An error with its remedy.
    pub fn new(
        status: StatusCode,
        code: &str,
        message: impl Into<String>,
        remedy: impl Into<String>,
    ) -> Self {
        Self {
            status,
            body: Body {
                code: code.to_owned(),
                message: message.into(),
                remedy: Some(remedy.into()),
                refusals: Vec::new(),
            },
        }
    }

    /// All that stands against an order, as one error: that of the only one, or a list of them. `None`
    /// when nothing does.
    pub fn several(mut wrong: Vec<(String, Self)>) -> Option<Self> {
        if wrong.len() < 2 {
            return wrong.pop().map(|(_, error)| error);
        }
        let wrong: Vec<(String, Self)> = wrong
            .into_iter()
            .flat_map(|(host, error)| error.each(host))
            .collect();
        let (status, code) = wrong
            .first()
            .map(|(_, error)| (error.status, error.body.code.clone()))?;
        let alike = wrong
            .iter()
            .all(|(_, error)| error.status == status && error.body.code == code);
        let (status, code) = if alike {
            (status, code)
        } else {
            (StatusCode::CONFLICT, "refused".to_owned())
        };
        Some(Self {
            status,
            body: Body {
                code,
                message: format!("refused for {} reasons; nothing was changed", wrong.len()),
                remedy: None,
                refusals: wrong
                    .into_iter()
                    .map(|(host, error)| RefusalOf {
                        host,
                        code: error.body.code,
                        message: error.body.message,
                        remedy: error.body.remedy,
                    })
                    .collect(),
            },
        })
    }

    /// The things that stand against one host, each by itself.
    fn each(self, host: String) -> Vec<(String, Self)> {
        let Self { status, body } = self;
        if body.refusals.is_empty() {
            return vec![(host, Self { status, body })];
        }
        body.refusals
            .into_iter()
            .map(|refusal| {
                let body = Body {
                    code: refusal.code,
                    message: refusal.message,
                    remedy: refusal.remedy,
                    refusals: Vec::new(),
                };
                (refusal.host, Self { status, body })
            })
            .collect()
    }

    /// What is sent.
    pub fn body(&self) -> Body {
        self.body.clone()
    }

    /// What was asked for makes no sense.
    pub fn bad_request(message: impl Into<String>, remedy: impl Into<String>) -> Self {
        Self::new(StatusCode::BAD_REQUEST, BAD_REQUEST, message, remedy)
    }

    /// What to do about it.
    pub fn remedy(&self) -> Option<&str> {
        self.body.remedy.as_deref()
    }

    /// Its stable name.
    pub fn code(&self) -> &str {
        &self.body.code
    }
}

impl IntoResponse for ApiError {
    fn into_response(self) -> Response {
        (self.status, Json(Envelope { error: self.body })).into_response()
    }
}

impl From<StoreError> for ApiError {
    fn from(error: StoreError) -> Self {
        Self::new(
            StatusCode::SERVICE_UNAVAILABLE,
            "store-unavailable",
            error.to_string(),
            "see `bootwright events` for what happened to it; nothing was changed",
        )
    }
}

impl From<Refusal> for ApiError {
    fn from(refusal: Refusal) -> Self {
        let (code, remedy) = match &refusal {
            Refusal::UnderWay { .. } => (
                "under-way",
                Some("wait for it, or say --force to interrupt it".to_owned()),
            ),
            Refusal::NothingToCancel { host, .. } => (
                "nothing-to-cancel",
                Some(format!(
                    "`bootwright host show {host}` tells where it stands"
                )),
            ),
        };
        Self {
            status: StatusCode::CONFLICT,
            body: Body {
                code: code.to_owned(),
                message: refusal.to_string(),
                remedy,
                refusals: Vec::new(),
            },
        }
    }
}

impl From<Obstacle> for ApiError {
    fn from(obstacle: Obstacle) -> Self {
        let status = match obstacle {
            Obstacle::NoRandomness { .. } => StatusCode::SERVICE_UNAVAILABLE,
            _ => StatusCode::CONFLICT,
        };
        let (code, remedy) = (obstacle.code(), obstacle.remedy());
        Self::new(status, code, obstacle.to_string(), remedy)
    }
}

impl From<Obstacles> for ApiError {
    fn from(obstacles: Obstacles) -> Self {
        let wrong = obstacles
            .list
            .into_iter()
            .map(|obstacle| (obstacle.host(), obstacle.into()))
            .collect();
        // There is one at least.
        Self::several(wrong).unwrap_or_else(|| Self::bad_request("refused", "try again"))
    }
}

impl From<ApplyError> for ApiError {
    fn from(error: ApplyError) -> Self {
        match error {
            ApplyError::Refused(refusal) => refusal.into(),
            ApplyError::Store(error) => error.into(),
        }
    }
}

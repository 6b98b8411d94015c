//! Types of the public HTTP and WebSocket API, as spec'd; `snake_case` JSON. The bridge serves them and generates its
//! OpenAPI from them, the command line reads them, the page's types are generated from that OpenAPI.

mod access;
mod approval;
mod audit;
mod doctor;
mod explain;
mod frames;
mod handback;
mod parked;
mod problem;
mod screen;
mod session;
mod settings;
mod terminal;
mod upgrade;

pub use access::*;
pub use approval::*;
pub use audit::*;
pub use doctor::*;
pub use explain::*;
pub use frames::*;
pub use handback::*;
pub use parked::*;
pub use problem::*;
pub use screen::*;
pub use session::*;
pub use settings::*;
pub use terminal::*;
pub use upgrade::*;

/// A page of a list.
#[derive(Debug, Clone, serde::Serialize, serde::Deserialize)]
#[cfg_attr(feature = "openapi", derive(utoipa::ToSchema))]
pub struct Page<T> {
    /// The items.
    pub items: Vec<T>,
    /// Where the next page begins; opaque; `null` after the last.
    pub next_cursor: Option<String>,
}

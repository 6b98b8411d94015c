//! What is known of the terminal that shows the screen: answers to queries say it.

/// A colour as a terminal reports it.
pub type Rgb = (u8, u8, u8);

/// The terminal of whoever holds the lease, as far as it told. What it did not tell is answered with a plain default.
#[derive(Debug, Clone, PartialEq, Eq, Default)]
pub struct Facts {
    /// The default foreground.
    pub foreground: Option<Rgb>,
    /// The default background.
    pub background: Option<Rgb>,
    /// The cursor's colour.
    pub cursor: Option<Rgb>,
    /// A cell's width and height in pixels.
    pub cell_px: Option<(u16, u16)>,
    /// The kitty keyboard flags it can do; `None` if it does not speak that protocol.
    pub kitty: Option<u32>,
    /// Its primary device attributes, without `CSI ?` and `c`: `62;22`.
    pub da1: Option<String>,
}

//! x
/// x
pub fn main(_words: impl IntoIterator<Item = String>) -> std::process::ExitCode {
    std::process::ExitCode::SUCCESS
}

//! What is printed for help and for mistakes, word by word: people learn the program from these.

#[test]
fn help_and_mistakes_read_as_written() {
    let home = tempfile::tempdir().unwrap();
    trycmd::TestCases::new()
        .env("COUNTERSIGN_HOME", home.path().display().to_string())
        .env("NO_COLOR", "1")
        .case("tests/transcripts/*.trycmd");
}

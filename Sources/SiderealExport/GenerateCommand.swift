import ArgumentParser
import Glibc
import Model
import Synthetic

/// `generate`: realistic synthetic probe results as NDJSON.
struct GenerateCommand: AsyncParsableCommand {
    static let configuration = CommandConfiguration(
        commandName: "generate",
        abstract: "Write realistic synthetic probe results, one JSON object per line.",
        discussion: """
            The same seed gives the same records on every machine. A record has 1220 bytes on average.

            Examples:
              sidereal-export generate --count 1000 > results.ndjson
              sidereal-export generate --count 500000 --seed 7 --output results.ndjson
              sidereal-export generate --count 3 | sidereal-export encode --format cef
            """)

    /// Records are collected to this many bytes before they are written.
    private static let blockBytes = 1 << 20

    @Option(help: "How many records; zero or more.")
    var count: Int

    @Option(help: "Start of the pseudo-random sequence.")
    var seed: UInt64 = 1

    @Option(help: "File to write, replaced if it exists; - is standard output.")
    var output = "-"

    func validate() throws {
        if count < 0 {
            throw ValidationError("--count must be zero or more, and it is \(count).")
        }
    }

    // Writes block the calling thread; nothing else runs in this process that could wait for it.
    func run() async throws {
        // A closed pipe is then an error of write(2) instead of the end of the process.
        signal(SIGPIPE, SIG_IGN)
        do throws(OutputFailure) {
            let sink = try OutputSink(path: output)
            var generator = ProbeResultGenerator(seed: seed)
            var block = ByteWriter(capacity: Self.blockBytes + 8_192)
            for _ in 0..<count {
                generator.next(into: &block)
                if block.count >= Self.blockBytes {
                    try sink.write(block.span)
                    block.removeAll()
                }
            }
            try sink.write(block.span)
            try sink.close()
        } catch {
            // Whoever read our output has seen enough, `head` for example.
            if error.number == EPIPE { return }
            let message = Array("Error: \(error.message)\n".utf8)
            _ = unsafe Glibc.write(STDERR_FILENO, message, message.count)
            throw ExitCode(1)
        }
    }
}

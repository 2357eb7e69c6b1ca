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
            With --rate they come at a steady pace, executed when they are due: if whoever reads them
            is too slow, the times in them tell by how much.

            Examples:
              sidereal-export generate --count 1000 > results.ndjson
              sidereal-export generate --count 500000 --seed 7 --output results.ndjson
              sidereal-export generate --count 3 | sidereal-export encode --format cef
              sidereal-export generate --count 60000 --rate 1000 | sidereal-export run --config F --input -

            Exit codes: 0 written, or whoever reads has seen enough; 1 the file cannot be written.
            """)

    /// Records are collected to this many bytes before they are written.
    private static let blockBytes = 1 << 20
    /// With ``rate``, what is due is written this often.
    private static let pauseMicroseconds: UInt32 = 2_000

    @Option(help: "How many records; zero or more.")
    var count: Int

    @Option(help: "Start of the pseudo-random sequence.")
    var seed: UInt64 = 1

    @Option(help: "Records a second. (default: as fast as they can be written)")
    var rate: Int?

    @Option(help: "File to write, replaced if it exists; - is standard output.")
    var output = "-"

    func validate() throws {
        if count < 0 {
            throw ValidationError("--count must be zero or more, and it is \(count).")
        }
        if let rate, !(1...10_000_000).contains(rate) {
            throw ValidationError("--rate must be 1 to 10000000 records a second, and it is \(rate).")
        }
    }

    // Writes block the calling thread; nothing else runs in this process that could wait for it.
    func run() async throws {
        // A closed pipe is then an error of write(2) instead of the end of the process.
        signal(SIGPIPE, SIG_IGN)
        do throws(OutputFailure) {
            let sink = try OutputSink(path: output)
            if let rate { try pace(to: sink, rate) } else { try hurry(to: sink) }
            try sink.close()
        } catch {
            // Whoever read our output has seen enough, `head` for example.
            if error.number == EPIPE { return }
            let message = Array("Error: \(error.message)\n".utf8)
            _ = unsafe Glibc.write(STDERR_FILENO, message, message.count)
            throw ExitCode(1)
        }
    }

    private func hurry(to sink: OutputSink) throws(OutputFailure) {
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
    }

    /// What is due is written every few milliseconds. What could not be, because the reader was slow, keeps its time.
    private func pace(to sink: OutputSink, _ rate: Int) throws(OutputFailure) {
        var generator = ProbeResultGenerator(seed: seed)
        var block = ByteWriter(capacity: Self.blockBytes + 8_192)
        let (begun, time) = (Self.nanoseconds(CLOCK_MONOTONIC), Self.nanoseconds(CLOCK_REALTIME))
        let gap = 1e9 / Double(rate)
        var made = 0
        while made < count {
            let due = min(count, Int(Double(Self.nanoseconds(CLOCK_MONOTONIC) - begun) / gap) + 1)
            while made < due, block.count < Self.blockBytes {
                generator.next(at: time + UInt64(Double(made) * gap), into: &block)
                made += 1
            }
            try sink.write(block.span)
            block.removeAll()
            if made == due, made < count { usleep(Self.pauseMicroseconds) }
        }
    }

    private static func nanoseconds(_ clock: clockid_t) -> UInt64 {
        var time = timespec()
        unsafe clock_gettime(clock, &time)
        return UInt64(time.tv_sec) * 1_000_000_000 + UInt64(time.tv_nsec)
    }
}

import Formats
import Model

/// What comes before all encoders, once for each record.
enum ReadingCases {
    static let all: [MicroCase] = Corpus.kinds.flatMap { kind in
        [
            MicroCase("read-\(kind.name)") { reading(try kind.make()) },
            MicroCase("shard-\(kind.name)") { placing(try kind.make()) },
        ]
    }

    /// As a worker reads, and whoever works alone.
    private static func reading(_ corpus: Corpus) -> Round {
        var reader = ProbeResultReader()
        return Round {
            let span = corpus.bytes.span
            var sum = 0
            for _ in 0..<Corpus.passes {
                for line in corpus.lines {
                    try reader.read(span, line)
                    sum &+= Int(reader.record.executedAt.nanoseconds)
                }
            }
            return sum
        }
    }

    /// What a coordinator does instead: it looks for the uid and hashes it to a shard.
    private static func placing(_ corpus: Corpus) -> Round {
        Round {
            let span = corpus.bytes.span
            var sum = 0
            for _ in 0..<Corpus.passes {
                for line in corpus.lines {
                    guard let hash = IdentityScan.uidHash(span, line) else {
                        throw WrongCase(description: "a record of the benchmark has no uid")
                    }
                    sum &+= Int(hash.shard(of: 256).number)
                }
            }
            return sum
        }
    }
}

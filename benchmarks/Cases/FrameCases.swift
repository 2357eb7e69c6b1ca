import Model
import Protocol

/// The cluster's frames, as a leader and its workers write and read them.
enum FrameCases {
    static let all = [
        MicroCase("frame-records-send") { try sendingRecords() },
        MicroCase("frame-records-receive") { try receiving(.records(records())) },
        MicroCase("frame-outcomes-send") { try sendingOutcomes() },
        MicroCase("frame-outcomes-receive") { try receiving(.outcomes(outcomes())) },
        MicroCase("frame-hostile-refuse") { try refusing() },
    ]

    /// Records in a frame: half a MiB, as dispatched.
    private static let recordsOfFrame = 500
    /// Bytes of a record, line end included.
    private static let recordBytes = 1_050
    private static let frames = MicroCase.unitsOfRound / recordsOfFrame

    /// What a leader hands to the encryption, stretch by stretch; the checksum is made on the way.
    private static func sendingRecords() throws -> Round {
        let message = Message.records(records())
        var encoder = FrameEncoder()
        encoder.version = ProtocolRelease.current.versions.upperBound
        return Round {
            var sum = 0
            for _ in 0..<frames {
                let frame = try encoder.frame(message)
                var checksum = OutgoingFrame.Checksum()
                var last: UInt8 = 0
                unsafe frame.withStretches(of: 0..<frame.count, checksum: &checksum) { bytes in
                    last = unsafe bytes[bytes.count - 1]
                }
                sum &+= frame.count &+ Int(last)
            }
            return sum
        }
    }

    /// As a worker tells.
    private static func sendingOutcomes() throws -> Round {
        let message = Message.outcomes(outcomes())
        var encoder = FrameEncoder()
        encoder.version = ProtocolRelease.current.versions.upperBound
        let buffers = Buffers()
        return Round {
            var sum = 0
            for _ in 0..<frames {
                buffers.out.removeAll()
                try encoder.encode(message, into: &buffers.out)
                sum &+= buffers.out.count
            }
            return sum
        }
    }

    private static func receiving(_ message: Message) throws -> Round {
        var encoder = FrameEncoder()
        encoder.version = ProtocolRelease.current.versions.upperBound
        var out = ByteWriter()
        try encoder.encode(message, into: &out)
        let frame = out.seal()
        var decoder = FrameDecoder()
        decoder.version = encoder.version
        return Round {
            var sum = 0
            for _ in 0..<frames {
                switch try decoder.decode(frame) {
                case .records(let records): sum &+= records.lines.count
                case .outcomes(let outcomes): sum &+= outcomes.keys.count
                default: throw WrongCase(description: "the benchmark's own frame was not read")
                }
            }
            return sum
        }
    }

    /// A frame that claims 2³² − 1 grants and has none.
    private static func refusing() throws -> Round {
        let frame = SealedBytes([0, 0, 0, 16, 1, 0x0A, 0, 0, 0, 0, 0, 0, 0, 0, 0, 1, 0xFF, 0xFF, 0xFF, 0xFF])
        var decoder = FrameDecoder()
        decoder.version = ProtocolRelease.current.versions.upperBound
        return Round {
            var refused = 0
            for _ in 0..<MicroCase.unitsOfRound {
                do throws(ProtocolError) { _ = try decoder.decode(frame) } catch { refused += 1 }
            }
            guard refused == MicroCase.unitsOfRound else {
                throw WrongCase(description: "a hostile frame was taken")
            }
            return refused
        }
    }

    private static func records() -> RecordsFrame {
        var rng = PRNG(seed: 1)
        var bytes = ByteWriter(capacity: recordsOfFrame * recordBytes)
        for _ in 0..<recordsOfFrame * recordBytes { bytes.append(UInt8(0x20 + rng.below(0x5F))) }
        return RecordsFrame(
            term: 1, targets: 0b111, keys: keys(&rng), grants: grants(&rng),
            lengths: Array(repeating: UInt32(recordBytes), count: recordsOfFrame), bytes: bytes.seal())
    }

    private static func outcomes() -> Outcomes {
        var rng = PRNG(seed: 2)
        return Outcomes(
            row: rng.next() >> 1, term: 1, target: 2, kind: .delivered, reason: "", keys: keys(&rng),
            grants: grants(&rng))
    }

    static func keys(_ rng: inout PRNG) -> [RecordKey] {
        (0..<recordsOfFrame).map { _ in RecordKey(high: rng.next(), low: rng.next()) }
    }

    static func grants(_ rng: inout PRNG) -> [ShardGrant] {
        (0..<recordsOfFrame).map { _ in ShardGrant(shard: UInt16(rng.below(256)), epoch: 7) }
    }
}

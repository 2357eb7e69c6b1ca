import Model
import Testing

@_spi(NextRelease) @testable import Protocol

@Suite struct RoundTripTests {
    @Test(arguments: MessageType.allCases, [UInt64(1), 2, 3])
    func everyMessageComesBack(_ type: MessageType, _ seed: UInt64) throws {
        var maker = MessageMaker(seed: seed)
        for number in 0..<200 {
            let sent = maker.next(type)
            let bytes = try frame(sent)
            let size = try Frame.size(bytes.span)
            #expect(size == bytes.count)
            guard try message(bytes) == sent else {
                throw Finding(description: "seed \(seed), case \(number): \(sent) came back different: \(hex(bytes))")
            }
        }
    }

    /// Frames follow one another in one writer, and each is found by its length.
    @Test func framesAreCutFromOneStream() throws {
        var maker = MessageMaker(seed: 9)
        var (sender, receiver) = (FrameCodec(), FrameCodec())
        var out = ByteWriter()
        let sent =
            [maker.next(.hello), maker.next(.welcome)]
            + (0..<500).map { _ in maker.next() }
            .filter { $0.type != .welcome }
        for message in sent { try sender.encode(message, into: &out) }
        let stream = out.seal()
        var received: [Message] = []
        var at = 0
        while at < stream.count {
            let rest = stream.span.extracting(at..<stream.count)
            let size = try #require(try Frame.size(rest, limit: receiver.maxLength))
            received.append(try #require(try receiver.decode(rest.extracting(0..<size))))
            at += size
        }
        #expect(received == sent)
        #expect(sender.version == 1 && receiver.version == 1)
    }

    @Test func theSizeOfRecordsIsKnownBefore() throws {
        var maker = MessageMaker(seed: 4)
        for _ in 0..<100 {
            let records = maker.records()
            let bytes = try frame(.records(records))
            #expect(bytes.count == Frame.recordsSize(count: records.keys.count, bytes: records.bytes.count))
        }
    }

    @Test func longReasonsAreCutBetweenCharacters() throws {
        // 1 023 bytes and a character of four, of which one would fit.
        let text = String(repeating: "x", count: 1023) + "\u{1F6A8}"
        let sent = Message.drain(term: 1, reason: text)
        #expect(try message(try frame(sent)) == .drain(term: 1, reason: String(repeating: "x", count: 1023)))
        let whole = Message.drain(term: 1, reason: String(repeating: "é", count: 512))
        #expect(try message(try frame(whole)) == whole)
        var health = TargetHealth()
        health.reason = String(repeating: "y", count: 300)
        guard
            case .heartbeat(let heartbeat) = try message(
                try frame(.heartbeat(Heartbeat(term: 1, number: 1, health: [health]))))
        else { throw Finding(description: "no heartbeat") }
        #expect(heartbeat.health[0].reason.utf8.count == 256)
    }

    /// What a machine must not say is refused by the one that says it, and nothing of it stays in the writer.
    @Test func mistakesOfTheSenderAreRefused() throws {
        var maker = MessageMaker(seed: 5)
        let name = String(repeating: "n", count: 256)
        var hello = maker.hello()
        var mistakes: [(Message, String, ProtocolError.Kind)] = []
        hello.identity = ""
        mistakes.append((.hello(hello), "identity", .value))
        hello.identity = name
        mistakes.append((.hello(hello), "identity", .value))
        hello = maker.hello()
        hello.targets = (0...32).map { "t\($0)" }
        mistakes.append((.hello(hello), "target-count", .value))
        hello = maker.hello()
        hello.capacity = 0
        mistakes.append((.hello(hello), "capacity", .value))
        hello = maker.hello()
        hello.versions = 0...1
        mistakes.append((.hello(hello), "lowest-version", .value))
        var welcome = maker.welcome()
        welcome.version = 2
        mistakes.append((.welcome(welcome), "version", .version))
        let grant = ShardGrant(shard: 1, epoch: 1)
        let many = Array(repeating: grant, count: ProtocolBounds.shards + 1)
        mistakes.append((.assign(term: 1, grants: many), "grant-count", .value))
        let key = RecordKey(high: 1, low: 1)
        func records(_ lengths: [UInt32], _ bytes: Int, grants: Int = 1) -> Message {
            .records(
                RecordsFrame(
                    term: 1, targets: 1, keys: lengths.map { _ in key }, grants: Array(repeating: grant, count: grants),
                    lengths: lengths, bytes: SealedBytes([UInt8](repeating: 0x61, count: bytes))))
        }
        mistakes.append((records([2], 3), "record-count", .count))
        mistakes.append((records([3, 0], 3, grants: 2), "record-count", .count))
        mistakes.append((records([3], 3, grants: 2), "record-count", .count))
        mistakes.append((records([16 << 20], 16 << 20), "length", .tooLarge))
        mistakes.append(
            (
                .outcomes(
                    Outcomes(row: 1, term: 1, target: 32, kind: .dead, reason: "", keys: [key], grants: [grant])),
                "target", .value
            ))
        mistakes.append(
            (
                .outcomes(Outcomes(row: 1, term: 1, target: 1, kind: .dead, reason: "", keys: [key], grants: [])),
                "record-count", .count
            ))
        for (mistake, field, kind) in mistakes {
            var encoder = FrameEncoder()
            encoder.version = 1
            var out = ByteWriter()
            out.append("before")
            do throws(ProtocolError) {
                try encoder.encode(mistake, into: &out)
                Issue.record("\(mistake.name) was written though its \(field) is wrong")
            } catch {
                #expect(error.field == field && error.kind == kind && error.message == mistake.name, "\(error)")
            }
            let left = out.seal().array
            #expect(left == Array("before".utf8))
        }
    }

    @Test func theLargestFrameGoesThroughAndOneByteMoreDoesNot() throws {
        let room = Frame.lengthBytes + Frame.maxLength - Frame.recordsSize(count: 1, bytes: 0)
        func records(_ count: Int) -> RecordsFrame {
            RecordsFrame(
                term: 1, targets: 1, keys: [RecordKey(high: 1, low: 2)], grants: [ShardGrant(shard: 3, epoch: 4)],
                lengths: [UInt32(count)], bytes: SealedBytes([UInt8](repeating: 0x7B, count: count)))
        }
        let largest = Message.records(records(room))
        let bytes = try frame(largest)
        #expect(bytes.count == Frame.lengthBytes + Frame.maxLength)
        #expect(try message(bytes) == largest)
        #expect(throws: ProtocolError.self) { try frame(.records(records(room + 1))) }
    }
}

import Model
import Testing

@_spi(NextRelease) @testable import Protocol

@Suite struct VersionTests {
    @Test func theHighestCommonVersionIsChosen() {
        #expect(ProtocolRelease.current.common(with: 1...1) == 1)
        #expect(ProtocolRelease.current.common(with: 1...9) == 1)
        #expect(ProtocolRelease.current.common(with: 2...9) == nil)
        #expect(ProtocolRelease.next.common(with: 1...1) == 1)
        #expect(ProtocolRelease.next.common(with: 1...2) == 2)
        #expect(ProtocolRelease.next.common(with: 2...9) == 2)
        #expect(ProtocolRelease.next.common(with: 3...9) == nil)
    }

    /// Who updates a cluster looks there which releases work together.
    @Test func theVersionsAreDocumented() throws {
        var root = #filePath.split(separator: "/", omittingEmptySubsequences: false)
        root.removeLast(3)
        let path = root.joined(separator: "/") + "/docs/upgrading.md"
        let text = String(decoding: try contents(path), as: UTF8.self)
        let row = try #require(text.split(separator: "\n").first { $0.hasPrefix("| protocol |") })
        let versions = ProtocolRelease.current.versions
        #expect(
            row.split(separator: "|")[2]
                == " \(versions.upperBound) (speaks \(versions.lowerBound) to \(versions.upperBound)) ")
    }

    @Test func beforeTheHandshakeNothingElseIsSaidOrHeard() throws {
        var maker = MessageMaker(seed: 1)
        for type in MessageType.allCases {
            let sent = maker.next(type)
            let bytes = try frame(sent, version: 1)
            if type.isHandshake {
                #expect(bytes[4] == 0)
                #expect(fault(bytes, version: nil) == nil)
                #expect(try frame(sent, version: nil) == bytes)
            } else {
                #expect(bytes[4] == 1)
                let error = try #require(fault(bytes, version: nil))
                #expect(error.kind == .noSession && error.message == type.name && error.fault.code == .unexpected)
                #expect(throws: ProtocolError.self) { try frame(sent, version: nil) }
            }
        }
    }

    @Test func anotherVersionThanTheSessionsIsRefused() throws {
        var maker = MessageMaker(seed: 2)
        for type in MessageType.allCases {
            for version in [UInt8(0), 1, 2, 255] {
                var bytes = try frame(maker.next(type))
                bytes[4] = version
                let error = fault(mended(bytes))
                let isRight = version == (type.isHandshake ? 0 : 1)
                #expect(isRight ? error == nil : error?.kind == .version && error?.offset == 4, "\(type), \(version)")
            }
        }
    }

    @Test func theVersionOfASessionDoesNotChange() throws {
        var codec = FrameCodec(release: .next)
        var out = ByteWriter()
        var welcome = Welcome(
            version: 2, term: 1, leader: "c-0", leaseMilliseconds: 1, shardCount: 1, releaseMilliseconds: 1,
            targets: [],
            marginMilliseconds: 1)
        try codec.encode(.welcome(welcome), into: &out)
        #expect(codec.version == 2)
        welcome.version = 1
        do throws(ProtocolError) {
            try codec.encode(.welcome(welcome), into: &out)
            Issue.record("a second version was agreed")
        } catch {
            #expect(error.kind == .version)
        }
        #expect(codec.version == 2)
        // And the peer that speaks only 1 does not take the first.
        let first = out.seal()
        var other = FrameCodec()
        do throws(ProtocolError) {
            _ = try other.decode(first)
            Issue.record("version 2 was taken")
        } catch {
            #expect(error.kind == .version && error.fault.code == .version)
        }
        #expect(other.version == nil)
    }

    @Test func unknownTypesAreSkippedIfTheySayThatTheyMayBe() throws {
        let known = Set(MessageType.allCases.map(\.rawValue))
        for type in UInt8.min...UInt8.max where !known.contains(type) {
            for version in [UInt8(0), 1] {
                let skippable: [UInt8] = [0, 0, 0, 7, version, type, 0, 1, 9, 9, 9]
                let skipped = try message(skippable)
                #expect(skipped == nil)
                let error = fault([0, 0, 0, 7, version, type, 0, 0, 9, 9, 9])
                #expect(error?.kind == .unknownType && error?.offset == 5)
            }
        }
        #expect(fault([0, 0, 0, 4, 2, 0x7E, 0, 1])?.kind == .version)
    }

    @Test func ofUnknownFlagsTheUpperOnesAreErrors() throws {
        var maker = MessageMaker(seed: 3)
        for type in MessageType.allCases {
            let sent = maker.next(type)
            let bytes = try frame(sent)
            for flag in 0..<8 {
                var lower = bytes
                lower[7] |= 1 << UInt8(flag)
                #expect(try message(mended(lower)) == sent)
                var upper = bytes
                upper[6] |= 1 << UInt8(flag)
                let error = fault(mended(upper))
                #expect(error?.kind == .unknownFlag && error?.offset == 6)
            }
        }
        // Skipping does not excuse a flag that must be understood.
        #expect(fault([0, 0, 0, 4, 0, 0x7E, 0x80, 1])?.kind == .unknownFlag)
    }

    @Test func fieldsBehindTheKnownOnesAreIgnored() throws {
        var maker = MessageMaker(seed: 4)
        for type in MessageType.allCases {
            let sent = maker.next(type)
            var bytes = try frame(sent)
            bytes.insert(contentsOf: [1, 2, 3], at: bytes.count - (type.hasChecksum ? 4 : 0))
            #expect(try message(mended(bytes)) == sent, "\(type)")
        }
    }

    /// An element of the list of healths has a size, so that it may grow too.
    @Test func fieldsBehindTheKnownOnesOfAnElementAreIgnored() throws {
        var maker = MessageMaker(seed: 5)
        let sent = Message.heartbeat(Heartbeat(term: 7, number: 8, health: [maker.health(), maker.health()]))
        var bytes = try frame(sent)
        // Header, term, number, count.
        let at = Frame.headerBytes + 17
        let size = Int(bytes[at]) << 8 | Int(bytes[at + 1])
        bytes.insert(contentsOf: [0xAA, 0xBB], at: at + 2 + size)
        bytes[at] = UInt8((size + 2) >> 8)
        bytes[at + 1] = UInt8(truncatingIfNeeded: size + 2)
        #expect(try message(mended(bytes)) == sent)
    }

    /// Every pair of releases agrees on a version and understands all that is said.
    @Test func releasesMix() throws {
        for (left, right) in [
            (ProtocolRelease.current, ProtocolRelease.current), (.current, .next), (.next, .current), (.next, .next),
        ] {
            var (worker, leader) = (FrameCodec(release: left), FrameCodec(release: right))
            var maker = MessageMaker(seed: 6)
            func pass(_ message: Message, _ from: inout FrameCodec, _ to: inout FrameCodec) throws {
                var out = ByteWriter()
                try from.encode(message, into: &out)
                #expect(try to.decode(out.seal()) == message)
                var extra = ByteWriter()
                from.encodeSkippable(into: &extra)
                let skipped = try to.decode(extra.seal())
                #expect(skipped == nil)
            }
            var hello = maker.hello()
            hello.versions = left.versions
            try pass(.hello(hello), &worker, &leader)
            var welcome = maker.welcome()
            welcome.version = try #require(right.common(with: hello.versions))
            try pass(.welcome(welcome), &leader, &worker)
            #expect(worker.version == welcome.version && leader.version == welcome.version)
            for _ in 0..<200 {
                let message = maker.next()
                guard message.type != .welcome else { continue }
                try pass(message, &worker, &leader)
                try pass(message, &leader, &worker)
            }
        }
    }

    /// Version 2 of the next release demands its field, so a frame of version 1 in its place is noticed.
    @Test func theNextReleaseDemandsItsField() throws {
        let sent = Message.settled(term: 1, through: 2)
        let old = try frame(sent, version: 2)
        let error = fault(old, version: 2, release: .next)
        #expect(error?.kind == .truncated && error?.field == "trailer")
        #expect(try message(try frame(sent, version: 2, release: .next), version: 2, release: .next) == sent)
    }
}

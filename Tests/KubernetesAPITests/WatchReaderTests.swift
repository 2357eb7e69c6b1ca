import Formats
import Model
import Testing

@testable import KubernetesAPI

@Suite struct WatchReaderTests {
    /// What a body says, however it is cut.
    private struct Told: Equatable {
        var objects: [String] = []
        var versions: String?
        var codes: [Int] = []
        var refused = 0
    }

    private static func read(_ body: [UInt8], pieces: (Int) -> Int) throws -> Told {
        var reader = WatchReader()
        var told = Told()
        var at = 0
        while at < body.count {
            let end = min(body.count, at + max(1, pieces(at)))
            if let piece = try reader.feed(Array(body[at..<end])) {
                for (index, entry) in piece.batch.entries.enumerated() {
                    told.objects.append("\(entry.change) \(piece.batch.text(index))")
                }
                if let version = piece.resourceVersion { told.versions = version }
                if let status = piece.status { told.codes.append(status.code) }
                told.refused += piece.batch.refused
            }
            at = end
        }
        #expect(reader.isBetweenEvents)
        return told
    }

    private static let body = Array(
        (Samples.event("ADDED", Samples.object(extra: #","t":"}{\"\\""#))
            + Samples.event("MODIFIED", Samples.object(version: "43", status: "Exported", managed: #"[{"x":"}"}]"#))
            + Samples.bookmark("50") + Samples.event("DELETED", Samples.object(version: "51"))
            + Samples.event("NEWS", Samples.object(version: "52")) + Samples.event("ADDED", "{}")
            + Samples.event("ERROR", Samples.status410)).utf8)

    @Test func cutsDoNotMatter() throws {
        let whole = try Self.read(Self.body) { _ in .max - 1 << 40 }
        #expect(whole.objects.map { String($0.prefix(8)) } == ["added {\"", "modified", "deleted "])
        #expect(whole.objects[1].contains(#""resourceVersion":"43""#) && !whole.objects[1].contains("managedFields"))
        #expect(whole.versions == "52" && whole.codes == [410] && whole.refused == 2)
        for size in 1...40 { #expect(try Self.read(Self.body) { _ in size } == whole) }
        for cut in 1..<Self.body.count {
            #expect(try Self.read(Self.body) { $0 == 0 ? cut : .max >> 8 } == whole)
        }
        var rng = PRNG(seed: 5)
        for _ in 0..<200 { #expect(try Self.read(Self.body) { _ in Int(rng.below(300)) } == whole) }
    }

    @Test func bookmarksSayHowFarTheServerIs() throws {
        var reader = WatchReader()
        let piece = try reader.feed(Array((Samples.bookmark("7") + Samples.bookmark("9")).utf8))
        #expect(piece?.isOnlyBookmark == true && piece?.resourceVersion == "9" && piece?.status == nil)
        let added = try reader.feed(Array((Samples.event("ADDED", Samples.object()) + Samples.bookmark("60")).utf8))
        #expect(added?.isOnlyBookmark == false && added?.resourceVersion == "60")
        #expect(try reader.feed([]) == nil)
    }

    /// Events behind an ERROR are none.
    @Test func errorIsTheEnd() throws {
        var reader = WatchReader()
        let body = Samples.event("ERROR", Samples.status410) + Samples.event("ADDED", Samples.object())
        let piece = try #require(try reader.feed(Array(body.utf8)))
        #expect(piece.status?.code == 410 && piece.status?.reason == "Expired" && piece.batch.entries.isEmpty)
        #expect(piece.resourceVersion == nil)
    }

    /// A monster is passed over, and nothing behind it is lost; what is kept of it is bounded.
    @Test func tooLongEventsArePassedOver() throws {
        let monster = Array(
            Samples.event("ADDED", Samples.object(extra: #","x":"\#(String(repeating: "}\\\"", count: 4 << 20))""#))
                .utf8)
        #expect(monster.count > WatchReader.maxEventBytes)
        let body =
            Array(Samples.event("ADDED", Samples.object(name: "a")).utf8) + monster
            + Array(Samples.event("ADDED", Samples.object(name: "b")).utf8)
        let told = try Self.read(body) { _ in 100_000 }
        #expect(told.objects.count == 2 && told.refused == 1)
    }

    @Test(arguments: [
        "x", "]", "}", #""text""#, "[]", "{]", #"{"type":"ADDED"}"#, #"{"object":{}}"#, #"{"type":7,"object":{}}"#,
        #"{"type":"ADDED","object":[]}"#, #"{"type":"ADDED","object":{},"object":{}}"#,
        #"{"type":"ADDED","type":"DELETED","object":{}}"#, #"{"type":"ADDED","object":{}}}"#,
    ])
    func whatIsNoEventIsAFault(text: String) {
        #expect(throws: APIObjectFault.self) {
            var reader = WatchReader()
            _ = try reader.feed(Array(text.utf8))
            _ = try reader.feed(Array("]".utf8))
        }
    }

    @Test func damagedBodiesEnd() {
        var rng = PRNG(seed: 8)
        for _ in 0..<5_000 {
            var damaged = Self.body
            for _ in 0...rng.below(3) {
                damaged[Int(rng.below(UInt64(damaged.count)))] = UInt8(truncatingIfNeeded: rng.next())
            }
            var reader = WatchReader()
            var at = 0
            while at < damaged.count {
                let end = min(damaged.count, at + 1 + Int(rng.below(400)))
                do { _ = try reader.feed(Array(damaged[at..<end])) } catch { break }
                at = end
            }
        }
    }
}

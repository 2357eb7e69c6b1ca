import ExportCore
import Formats
import KubernetesAPI
import Protocol
import Testing

@testable import Coordinator

/// What objects of results say, and what is said in them.
@Suite struct KubernetesStatusTextTests {
    private let targets = ["a", "b\"", "c"]
    private static let uid = "a1b2c3d4-0001-4002-8003-00000000000f"
    private static let owner = #""export.sidereal.cloud/targets-of":"\#(uid)""#

    private func object(_ annotation: String?, status: String = "Pending", version: String = "7") throws -> ObjectBatch
    {
        let note = annotation.map { #""annotations":{"export.sidereal.cloud/targets":\#($0),\#(Self.owner)},"# } ?? ""
        return try ObjectBatch(
            object: Array(
                (#"{"metadata":{\#(note)"name":"r","namespace":"n","resourceVersion":"\#(version)","uid":"\#(Self.uid)"},"#
                    + #""spec":{"audit":{"exportStatus":"\#(status)"}}}"#).utf8))
    }

    private func seen(_ annotation: String?, status: String = "Pending") throws -> StatusRound.Seen {
        let batch = try object(annotation, status: status)
        return KubernetesStatusText.seen(batch, try #require(batch.entries.first), targets: targets)
    }

    @Test func theAnnotationIsRead() throws {
        #expect(try seen(nil) == StatusRound.Seen(version: "7", status: ResultStatus()))
        let all = try seen(
            #""{\"b\\\"\":\"dead\",\"old\":\"delivered\",\"older\":\"dead\",\"a\":\"delivered\",\"c\":\"failed\",\"x\":1}""#,
            status: "Failed")
        #expect(all.status.state == .failed && all.others == #","old":"delivered","older":"dead""#)
        let word = all.status.word
        #expect(word.delivered == TargetMask(0) && word.dead == TargetMask(1) && word.failed == TargetMask(2))
        for bad in [#""""#, #""{""#, #""[1]""#, #""{\"a\":true}""#, #""{\"a\":\"yes\"}""#, #""{\"a\":\"delivered\"""#] {
            #expect(try seen(bad).status == ResultStatus(), "\(bad)")
        }
        #expect(try seen(nil, status: "Exported").status.state == .exported)
        #expect(try seen(nil, status: "Nonsense").status.state == .pending)
    }

    /// A leader of a later release has written it.
    @Test func aWordThatIsNotKnownCountsAsNotTried() throws {
        var known = try seen(
            #""{\"a\":\"delivered\",\"c\":\"quarantined\",\"gone\":\"quarantined\"}""#, status: "Failed")
        #expect(known.status.word.settled == TargetMask(0) && known.status.word.failed.isEmpty)
        // What is not today's stays as it is; what is, is what this leader finds.
        var news = ResultStatus.Word()
        (news.delivered, news.dead) = (TargetMask(2), TargetMask(1))
        known.status = known.status.told(news, targets: TargetMask(first: 3))
        #expect(
            KubernetesStatusText.marks(known, targets: targets)
                == #"{"a":"delivered","b\"":"dead","c":"delivered","gone":"quarantined"}"#)
    }

    @Test func whatIsWrittenIsRead() throws {
        for bits in 0..<64 as Range<UInt32> {
            var word = ResultStatus.Word()
            (word.delivered.bits, word.dead.bits) = (bits & 7, bits >> 3 & 7 & ~bits)
            word.failed.bits = 7 & ~(word.delivered.bits | word.dead.bits) & (bits % 3 == 0 ? 7 : 2)
            for others in ["", #","old":"delivered","older":"dead""#] {
                let seen = StatusRound.Seen(version: "7", status: ResultStatus(word: word), others: others)
                let text = KubernetesStatusText.marks(seen, targets: targets)
                let quoted = JSONBody.object { $0.add("x", text) }.dropFirst(5).dropLast()
                #expect(try self.seen(String(decoding: quoted, as: UTF8.self)) == seen, "\(text)")
            }
        }
    }

    @Test func whatOthersSayIsBounded() throws {
        let members = (0..<2_000).map { #"\"t\#($0)\":\"dead\""# }.joined(separator: ",")
        #expect(try seen(#""{\#(members)}""#).others.utf8.count <= 4 << 10)
    }

    @Test func patchesCarryTheVersion() {
        let key = RecordKey(high: 0xA1B2_C3D4_0001_4002, low: 0x8003_0000_0000_000F)
        func patch(_ state: ResultStatus.State) -> String {
            var word = ResultStatus.Word()
            word.delivered = TargetMask(0)
            let seen = StatusRound.Seen(version: "7", status: ResultStatus(word: word, state: state))
            return String(
                decoding: KubernetesStatusText.patch(
                    seen, of: key, targets: targets, milliseconds: 1_773_568_800_123),
                as: UTF8.self)
        }
        let metadata =
            #"{"metadata":{"resourceVersion":"7","annotations":{"export.sidereal.cloud/targets":"{\"a\":\"delivered\"}","#
            + Self.owner + "}}"
        #expect(patch(.pending) == metadata + "}")
        #expect(patch(.failed) == metadata + #","spec":{"audit":{"exportStatus":"Failed"}}}"#)
        #expect(
            patch(.exported) == metadata
                + #","spec":{"audit":{"exportStatus":"Exported","exportedAt":"2026-03-15T10:00:00.123000Z"}}}"#)
    }

    @Test func uidsAreSpeltAsTheServerDoes() throws {
        let key = try #require(try object(nil).entries.first).key
        #expect(KubernetesStatusText.uid(key) == Self.uid)
    }
}

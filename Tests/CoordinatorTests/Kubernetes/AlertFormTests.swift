import KubernetesAPI
import Testing

@testable import Coordinator
@testable import ExportCore

@Suite struct AlertFormTests {
    private func json(_ reason: String, _ message: String = "m") -> [UInt8] {
        Array(
            #"{"metadata":{"name":"x"},"spec":{"reason":"\#(reason)","message":"\#(message)","acknowledged":false}}"#
                .utf8)
    }

    @Test func whatIsRaisedIsReadBack() {
        let alert = SystemAlert(
            name: "siem-export-degraded-a-1-2-3", message: "12 records since 10:00;\n\"no route\" é")
        let object = AlertForm.object(alert, namespace: "s", fence: Fence(holder: "a_1", term: 4))
        #expect(StoreText.alert(object, name: alert.name) == alert)
        let text = String(decoding: object, as: UTF8.self)
        #expect(text.contains(#""apiVersion":"sidereal.cloud/v1alpha1","kind":"SiderealSystemAlert""#))
        #expect(text.contains(#""export.sidereal.cloud/raised-in-term":"4""#))
        let long = SystemAlert(name: "n", message: String(repeating: "x", count: 40_000))
        let cut = StoreText.alert(AlertForm.object(long, namespace: "s", fence: Fence(holder: "a", term: 1)), name: "n")
        #expect(cut?.message.utf8.count == AlertForm.maxMessageBytes)
    }

    @Test func anAlertSaysSinceWhen() {
        let episode = Episode(id: .init(term: 7, number: 1), since: 1_764_129_672_345, cause: "c")
        let alert = SystemAlert(name: episode.alertName(cluster: "prod-east"), message: "5 attempts failed")
        let dated = ClusterCoordinator.dated(alert)
        #expect(dated.message == "Since 2025-11-26T04:01:12.000Z: 5 attempts failed" && dated.name == alert.name)
        let other = SystemAlert(name: "by-hand", message: "m")
        #expect(ClusterCoordinator.dated(other) == other)
    }

    @Test func theNewestOfOursAreKeptInWhateverOrderTheyCome() {
        var newest = AlertForm.Newest(limit: 10)
        for number in 0..<1_000 {
            let place = number * 389 % 1_000
            newest.add(
                json("SIEMExportDegraded"), name: "siem-export-degraded-x-\(place)-1-1",
                createdMilliseconds: Int64(place) / 2)
            newest.add(json("TamperedResult"), name: "other-\(place)", createdMilliseconds: 10_000)
            // Somebody's of our reason takes no room from ours.
            newest.add(json("SIEMExportDegraded"), name: "by-hand-\(place)", createdMilliseconds: 10_000)
            newest.add(Array("[]".utf8), name: "none", createdMilliseconds: 10_000)
        }
        let list = newest.list()
        #expect(list.map(\.name) == (0..<10).map { "siem-export-degraded-x-\(999 - $0)-1-1" })
    }

    @Test func theSameChangeMakesTheSameEvent() {
        let change = ExportGate.Transition(
            from: .degraded, to: .halted, cause: "no probe is admitted any more", kinds: [],
            episode: .init(term: 7, number: 2), term: 7, wallMilliseconds: 1_764_000_000_123)
        let note = EventForm.note(change, namespace: "s", gate: "sidereal-export-gate", holder: "a_1")
        #expect(note == EventForm.note(change, namespace: "s", gate: "sidereal-export-gate", holder: "a_1"))
        #expect(note.isWarning && note.reason == "GateHalted" && note.note.hasSuffix("(episode 7.2)"))
        #expect(note.name == "sidereal-export-gate.7.19ab697e87b.3")
        var next = change
        (next.from, next.to) = (.halted, .recovering)
        let other = EventForm.note(next, namespace: "s", gate: "sidereal-export-gate", holder: "a_1")
        #expect(other.name != note.name && !other.isWarning)
        // What else is wrong by now is another event than that of the state, at whatever moment.
        (next.from, next.to, next.cause) = (.halted, .halted, "5 attempts in a row failed at search")
        let news = EventForm.note(next, namespace: "s", gate: "sidereal-export-gate", holder: "a_1")
        #expect(news.reason == "ExportTroubleChanged" && news.isWarning && news.name != note.name)
        #expect(news.note == "gate stays halted: 5 attempts in a row failed at search (episode 7.2)")
    }
}

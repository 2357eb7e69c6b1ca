import Model
import Testing
import Threading

@testable import Coordinator
@testable import ExportCore
@testable import KubernetesAPI

extension APIServerTests {
    private func shown(_ admin: KubernetesClient, _ member: Member) async throws -> Lease {
        try #require(try await admin.lease(namespace: member.cluster.namespace, name: member.cluster.names.gate))
    }

    @Test func gateIsWrittenByTheLeaderOfTheTermAlone() async throws {
        try await withMembers { _, admin, a, b in
            let fence = try await a.lead("a", 3)
            #expect(try await a.gate.readGate() == nil)
            let before = SystemClock.unixMilliseconds()
            #expect(try await a.gate.writeGate(Member.gate("a", 3, 1), fence: fence, before: .far) == nil)
            var read = try #require(try await b.gate.readGate())
            #expect(Int64(read.renewed ?? 0) >= before && Int64(read.renewed ?? 0) <= SystemClock.unixMilliseconds())
            read.renewed = nil
            #expect(read == Member.gate("a", 3, 1))
            // Others do not lead, and say so of themselves wrongly.
            for wrong in [Fence(holder: "b", term: 3), Fence(holder: "a", term: 2), Fence(holder: "a", term: 4)] {
                let refused = await refusal {
                    _ = try await b.gate.writeGate(Member.gate("b", 9, 9), fence: wrong, before: .far)
                }
                #expect(refused?.kind == .fenced)
            }
            // What is older does not replace what is newer.
            #expect(try await a.gate.writeGate(Member.gate("a", 3, 5), fence: fence, before: .far) == nil)
            let newer = try await a.gate.writeGate(Member.gate("a", 3, 4), fence: fence, before: .far)
            #expect(newer?.version == .init(term: 3, sequence: 5))
            let late = await refusal {
                _ = try await a.gate.writeGate(Member.gate("a", 3, 6), fence: fence, before: SystemClock.now())
            }
            #expect(late?.kind == .late)
            #expect(try await b.gate.readGate()?.version.sequence == 5)
            // Given back.
            try await a.lead("", 3, renewal: 2)
            let gone = await refusal {
                _ = try await a.gate.writeGate(Member.gate("a", 3, 6), fence: fence, before: .far)
            }
            #expect(gone?.kind == .fenced && gone?.description.contains("nobody holds it") == true)
            _ = admin
        }
    }

    /// A leader stands still for longer than its lease. Whatever it does then in the old term's name changes nothing.
    @Test func pausedLeaderChangesNothing() async throws {
        try await withMembers(confirmed: 200) { _, admin, a, b in
            let old = try await a.lead("a", 1)
            #expect(try await a.gate.writeGate(Member.gate("a", 1, 1), fence: old, before: .far) == nil)
            try await Task.sleep(for: .milliseconds(300))
            let new = try await b.lead("b", 2)
            let before = try await shown(admin, a)
            let refused = await refusal {
                _ = try await a.gate.writeGate(Member.gate("a", 1, 2), fence: old, before: .far)
            }
            #expect(refused?.kind == .fenced && refused?.description.contains("b holds it in term 2") == true)
            #expect(try await shown(admin, a) == before)
            let alert = SystemAlert(name: "late", message: "of an old term")
            #expect(await refusal { _ = try await a.alerts.createAlert(alert, fence: old) }?.kind == .fenced)
            #expect(try await b.gate.writeGate(Member.gate("", 2, 2, state: .halted), fence: new, before: .far) == nil)
            // Set back to the old leader and its term: where a later one was let through, an earlier one is not any more.
            try await b.lead("a", 1)
            #expect(await refusal { try await b.cluster.require(old) }?.kind == .fenced)
        }
    }

    /// Even one that still believes to lead, and has not looked again: the gate is not in the version that it wrote any more.
    @Test func gateOfALaterTermIsNotOpenedByAnEarlierOne() async throws {
        try await withMembers { _, admin, a, b in
            let old = try await a.lead("a", 1)
            #expect(try await a.gate.writeGate(Member.gate("a", 1, 1), fence: old, before: .far) == nil)
            let new = try await b.lead("b", 2)
            #expect(try await b.gate.writeGate(Member.gate("", 2, 2, state: .halted), fence: new, before: .far) == nil)
            let halted = try await shown(admin, a)
            #expect(halted.holder.isEmpty && halted.renewed != nil)
            // Its proof still lasts, by its own clock.
            let answer = try await a.gate.writeGate(Member.gate("a", 1, 3), fence: old, before: .far)
            #expect(answer?.version == .init(term: 2, sequence: 2) && answer?.isOpen == false)
            #expect(try await shown(admin, a) == halted)
        }
    }

    @Test func gateIsKeptThroughWhatOthersDoToIt() async throws {
        try await withMembers { _, admin, a, _ in
            let fence = try await a.lead("a", 3)
            var record = Member.gate("a", 3, 1, state: .degraded)
            record.episode = Episode(id: .init(term: 3, number: 1), since: 5, cause: "no route")
            #expect(try await a.gate.writeGate(record, fence: fence, before: .far) == nil)
            try await edit(
                admin, a.cluster.names.gate, of: a, #"{"metadata":{"annotations":{"example.com/owner":"ops"}}}"#)
            // Of an episode that has ended nothing is left, and what is of others stays.
            #expect(try await a.gate.writeGate(Member.gate("a", 3, 2), fence: fence, before: .far) == nil)
            let now = try await shown(admin, a)
            #expect(now.annotations.keys.filter { $0.contains("episode") }.isEmpty)
            #expect(now.annotations["example.com/owner"] == "ops")
            #expect(now.annotations["export.sidereal.cloud/highest-term"] == "3")
            #expect(try await a.gate.readGate()?.episode == nil)
            // A person empties it; the leader says what is so.
            try await edit(admin, a.cluster.names.gate, of: a, #"{"spec":{"holderIdentity":""}}"#)
            #expect(try await a.gate.writeGate(Member.gate("a", 3, 3), fence: fence, before: .far) == nil)
            #expect(try await shown(admin, a).holder == "a")
            // A person deletes it.
            try await remove(admin, a.cluster.names.gate, of: a)
            #expect(try await a.gate.readGate() == nil)
            #expect(try await a.gate.writeGate(Member.gate("a", 3, 4), fence: fence, before: .far) == nil)
            #expect(try await a.gate.readGate()?.version.sequence == 4)
            // Closed: the time of the last renewal stays.
            let renewed = try await shown(admin, a).renewed
            #expect(
                try await a.gate.writeGate(Member.gate("", 3, 5, state: .halted), fence: fence, before: .far) == nil)
            let closed = try await shown(admin, a)
            #expect(closed.holder.isEmpty && closed.renewed == renewed)
        }
    }

    @Test func alertIsRaisedOnceAndAcknowledgedByAPersonAlone() async throws {
        try await withMembers { cluster, admin, a, b in
            try await cluster.makeAlerts(admin)
            let namespace = a.cluster.namespace
            let fence = try await a.lead("a", 1)
            let alert = SystemAlert(
                name: "siem-export-degraded-x-1-1-1", message: "soc: 5 attempts failed\n\"refused\"")
            #expect(try await a.alerts.readAlert(name: alert.name) == nil)
            #expect(try await a.alerts.readAlerts().isEmpty)
            #expect(try await a.alerts.createAlert(alert, fence: fence) == alert)
            // A second leader finds it, and does not change it.
            var other = alert
            other.message = "the same episode in other words"
            let second = try await b.lead("b", 2)
            #expect(try await b.alerts.createAlert(other, fence: second) == alert)
            #expect(try await b.alerts.readAlerts() == [alert])
            func acknowledge(_ spec: String) async throws -> SystemAlert? {
                _ = try await admin.patch(
                    .systemAlerts, namespace: namespace, name: alert.name, patch: Array(#"{"spec":\#(spec)}"#.utf8))
                return try await b.alerts.readAlert(name: alert.name)
            }
            #expect(try await acknowledge(#"{"acknowledged":true}"#)?.isAcknowledgedByPerson == false)
            let half = try await acknowledge(
                #"{"acknowledgedBy":"system:serviceaccount:ops:bot","acknowledgedAt":"2026-01-01T00:00:00Z"}"#)
            #expect(half?.isAcknowledgedByPerson == false)
            let robot = try await acknowledge(#"{"remediationAction":"route mended"}"#)
            #expect(robot?.isAcknowledgedByPerson == false)
            #expect(robot?.acknowledgementFlaw?.contains("system:serviceaccount:ops:bot") == true)
            #expect(try await acknowledge(#"{"acknowledgedBy":"alice"}"#)?.isAcknowledgedByPerson == true)
            // Raised again after that: what is there is the answer.
            #expect(try await b.alerts.createAlert(alert, fence: second).isAcknowledgedByPerson)
            // Of the same name, and none of ours.
            let foreign = #"""
                {"apiVersion":"sidereal.cloud/v1alpha1","kind":"SiderealSystemAlert","metadata":{"name":"foreign"},
                "spec":{"reason":"TamperedResult","message":"m","acknowledged":true}}
                """#
            _ = try await admin.create(.systemAlerts, namespace: namespace, object: Array(foreign.utf8))
            #expect(try await b.alerts.readAlert(name: "foreign") == nil)
            #expect(try await b.alerts.readAlerts().map(\.name) == [alert.name])
            let refused = await refusal {
                _ = try await b.alerts.createAlert(SystemAlert(name: "foreign", message: "m"), fence: second)
            }
            #expect(refused?.kind == .unusable && refused?.description.contains("TamperedResult") == true)
        }
    }

    /// More alerts of others than anybody would read through, newer than ours.
    @Test func alertsOfOthersHideNothing() async throws {
        try await withMembers { cluster, admin, a, _ in
            try await cluster.makeAlerts(admin)
            let fence = try await a.lead("a", 1)
            let alert = SystemAlert(name: "siem-export-degraded-x-1-1-1", message: "soc: 5 attempts failed")
            _ = try await a.alerts.createAlert(alert, fence: fence)
            for number in 0..<120 {
                let reason = number % 2 == 0 ? "TamperedResult" : SystemAlert.exportDegraded
                let other = """
                    {"apiVersion":"sidereal.cloud/v1alpha1","kind":"SiderealSystemAlert","metadata":{"name":"by-hand-\(number)"},
                    "spec":{"reason":"\(reason)","message":"m","acknowledged":false}}
                    """
                _ = try await admin.create(
                    .systemAlerts, namespace: a.cluster.namespace, object: Array(other.utf8))
            }
            #expect(try await KubernetesAlerts(a.cluster, pageObjects: 2).readAlerts() == [alert])
        }
    }

    @Test func changeOfTheGateIsToldOnceAsAnEvent() async throws {
        try await withMembers { _, admin, a, _ in
            let change = ExportGate.Transition(
                from: .degraded, to: .halted, cause: "no probe is admitted", kinds: [],
                episode: .init(term: 2, number: 1),
                term: 2, wallMilliseconds: UInt64(SystemClock.unixMilliseconds()))
            // Whoever decided it may lead no more by then.
            for _ in 0..<2 { try await a.events.tell(change, holder: "a") }
            let page = try await admin.list(ListQuest(.events, namespace: a.cluster.namespace))
            let entry = try #require(page.batch.entries.first)
            #expect(page.batch.entries.count == 1)
            let text = String(decoding: page.batch.json(entry), as: UTF8.self)
            #expect(text.contains(#""reason":"GateHalted""#) && text.contains(#""type":"Warning""#))
            #expect(text.contains(#""name":"sidereal-export-gate""#))
        }
    }
}

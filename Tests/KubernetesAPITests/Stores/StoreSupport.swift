import ExportCore
import Foundation
import Model
import Testing
import Threading

@testable import Coordinator
@testable import KubernetesAPI

/// Stores of one coordinator with its own client.
struct Member {
    let cluster: KubernetesCluster
    let leases: KubernetesLeases
    let gate: KubernetesGate
    let alerts: KubernetesAlerts
    let events: KubernetesEvents

    init(_ client: KubernetesClient, _ namespace: String, confirmed: UInt64 = 60_000, request: UInt64 = 20_000) {
        cluster = KubernetesCluster(
            client: client, namespace: namespace, requestMilliseconds: request, confirmedMilliseconds: confirmed)
        leases = KubernetesLeases(cluster, seed: 1)
        gate = KubernetesGate(cluster)
        alerts = KubernetesAlerts(cluster)
        events = KubernetesEvents(cluster)
    }

    /// Makes `holder` the leader of `term`, whoever was it before.
    @discardableResult
    func lead(_ holder: String, _ term: UInt64, renewal: UInt64 = 1) async throws -> Fence {
        let before = try await leases.readLease().stored?.version
        _ = try #require(
            try await leases.writeLease(Member.record(holder, term, renewal: renewal), replacing: before))
        return Fence(holder: holder, term: term)
    }

    func close() async {
        await leases.close()
        await cluster.client.shutdown()
    }

    static func record(_ holder: String, _ term: UInt64, renewal: UInt64 = 1) -> LeaseRecord {
        var record = LeaseRecord(
            holder: holder, address: "\(holder):7443", term: term, renewal: renewal, durationMilliseconds: 15_500)
        record.endpoint = "http://\(holder):8080"
        return record
    }

    static func gate(_ holder: String, _ term: UInt64, _ sequence: UInt64, state: ExportGate.State = .open)
        -> GateRecord
    {
        GateRecord(
            version: .init(term: term, sequence: sequence), holder: holder, durationSeconds: 30, state: state,
            reason: "because", since: 17)
    }
}

extension Tick {
    /// Later than any test.
    static var far: Tick { SystemClock.now().adding(milliseconds: 3_600_000) }
}

extension TestCluster {
    /// The kind of alerts, as the chart defines it.
    func makeAlerts(_ admin: KubernetesClient) async throws {
        let definition = """
            {"apiVersion":"apiextensions.k8s.io/v1","kind":"CustomResourceDefinition","metadata":
            {"name":"siderealsystemalerts.sidereal.cloud"},"spec":{"group":"sidereal.cloud","scope":"Namespaced","names":
            {"plural":"siderealsystemalerts","singular":"siderealsystemalert","kind":"SiderealSystemAlert"},"versions":
            [{"name":"v1alpha1","served":true,"storage":true,"schema":{"openAPIV3Schema":{"type":"object","required":["spec"],
            "properties":{"spec":{"type":"object","required":["reason","message","acknowledged"],"properties":{
            "reason":{"type":"string","enum":["SIEMExportDegraded","TamperedResult"]},"message":{"type":"string"},
            "acknowledged":{"type":"boolean","default":false},"acknowledgedBy":{"type":"string"},
            "acknowledgedAt":{"type":"string","format":"date-time"},"remediationAction":{"type":"string"}}}}}}}]}}
            """
        do throws(APIFailure) {
            _ = try await admin.create(.definitions, namespace: nil, object: Array(definition.utf8))
        } catch {
            guard error.kind == .alreadyExists else { throw error }
        }
        for _ in 0..<200 {
            if (try? await admin.list(ListQuest(.systemAlerts))) != nil { return }
            try await Task.sleep(for: .milliseconds(100))
        }
        throw Trouble(description: "the kind SiderealSystemAlert is not served\n\(log("kube-apiserver"))")
    }
}

/// Why a store refuses; nil if it does not.
func refusal(_ body: () async throws -> Void) async -> StoreError? {
    do {
        try await body()
        return nil
    } catch {
        return error as? StoreError
    }
}

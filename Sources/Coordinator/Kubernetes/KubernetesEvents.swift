public import ExportCore
import KubernetesAPI
import Model

/// Changes of the gate as events of the gate's Lease: `kubectl -n sidereal-system events --for lease/sidereal-export-gate`. An API
/// server keeps them for an hour, by default.
public final class KubernetesEvents: GateEventStore {
    private let cluster: KubernetesCluster

    /// The events of `cluster`.
    public init(_ cluster: KubernetesCluster) { self.cluster = cluster }

    /// See ``GateEventStore/tell(_:holder:)``.
    public func tell(_ change: ExportGate.Transition, holder: String) async throws(StoreError) {
        let note = EventForm.note(change, namespace: cluster.namespace, gate: cluster.names.gate, holder: holder)
        do throws(APIFailure) { try await cluster.client.tell(note) } catch { throw StoreError(error) }
    }
}

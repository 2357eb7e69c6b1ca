public import ExportCore
import KubernetesAPI
import Model

/// Alerts in a Kubernetes cluster: objects of the kind SiderealSystemAlert in the system namespace, which people acknowledge with
/// `kubectl patch` or `kubectl edit`.
///
/// Promises:
/// 1. An episode has one: its name follows from the episode, and one that is there is never made again and never changed.
/// 2. Whatever else lies among the alerts, and however much of it, ours are found.
/// 3. One of our name that was raised for another reason is nobody's acknowledgement: that is an error which says what to do.
public final class KubernetesAlerts: AlertStore {
    private let cluster: KubernetesCluster
    private let pageObjects: Int
    private static let most = 100
    /// Pages that are read of a list: a million alerts, more than an API server holds beside everything else. Nothing but ours is kept
    /// of them.
    private static let mostPages = 2_000

    /// The alerts of `cluster`.
    public convenience init(_ cluster: KubernetesCluster) {
        self.init(cluster, pageObjects: ListQuest.mostObjects)
    }

    /// Read in pages of so many.
    init(_ cluster: KubernetesCluster, pageObjects: Int) {
        self.cluster = cluster
        self.pageObjects = pageObjects
    }

    /// See ``AlertStore/readAlerts()``.
    public func readAlerts() async throws(StoreError) -> [SystemAlert] {
        var newest = AlertForm.Newest(limit: Self.most)
        var quest = ListQuest(.systemAlerts, namespace: cluster.namespace)
        quest.limit = pageObjects
        quest.milliseconds = cluster.requestMilliseconds
        quest.isUrgent = true
        do throws(APIFailure) {
            for _ in 0..<Self.mostPages {
                let page = try await cluster.client.list(quest)
                for entry in page.batch.entries {
                    newest.add(
                        page.batch.json(entry), name: page.batch.name(entry),
                        createdMilliseconds: entry.createdMilliseconds)
                }
                guard let token = page.continueToken else { return newest.list() }
                quest.continueToken = token
            }
        } catch {
            throw StoreError(error)
        }
        throw StoreError(
            .unusable,
            "there are more than \(Self.mostPages * pageObjects) alerts in \(cluster.namespace), and which episode is the"
                + " last cannot be told; remove those that nobody needs: kubectl -n \(cluster.namespace) get"
                + " siderealsystemalerts")
    }

    /// The alert of this name; nil also if it was raised for another reason, and is none of ours.
    public func readAlert(name: String) async throws(StoreError) -> SystemAlert? {
        try await read(name).flatMap { $0.reason == SystemAlert.exportDegraded ? $0 : nil }
    }

    /// See ``AlertStore/createAlert(_:fence:)``.
    public func createAlert(_ alert: SystemAlert, fence: Fence) async throws(StoreError) -> SystemAlert {
        try await cluster.require(fence)
        do throws(APIFailure) {
            let stored = try await cluster.client.create(
                .systemAlerts, namespace: cluster.namespace,
                object: AlertForm.object(alert, namespace: cluster.namespace, fence: fence),
                milliseconds: cluster.requestMilliseconds, isUrgent: true)
            return StoreText.alert(stored, name: alert.name) ?? alert
        } catch {
            guard error.kind == .alreadyExists else { throw StoreError(error) }
        }
        guard let there = try await read(alert.name) else {
            throw StoreError(.busy, "the alert \(place(alert.name)) was there and is gone; it is raised again")
        }
        guard there.reason == alert.reason else {
            throw StoreError(
                .unusable,
                "the alert \(place(alert.name)) was raised by somebody else, for the reason \(there.reason); remove it to have this"
                    + " one raised")
        }
        return there
    }

    private func read(_ name: String) async throws(StoreError) -> SystemAlert? {
        let json: [UInt8]?
        do throws(APIFailure) {
            json = try await cluster.client.get(
                .systemAlerts, namespace: cluster.namespace, name: name, milliseconds: cluster.requestMilliseconds,
                isUrgent: true)
        } catch {
            throw StoreError(error)
        }
        guard let json else { return nil }
        if let alert = StoreText.alert(json, name: name) { return alert }
        throw StoreError(.unusable, "\(place(name)) is no alert; remove it to have it raised again")
    }

    private func place(_ name: String) -> String { "\(cluster.namespace)/\(name)" }
}

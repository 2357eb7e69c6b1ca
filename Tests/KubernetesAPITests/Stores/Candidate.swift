import ExportCore
import KubernetesAPI
import Model
import Testing
import Threading

@testable import Coordinator

/// A coordinator that does nothing but take part in elections, with its own client.
actor Candidate {
    nonisolated let name: String
    nonisolated let cluster: KubernetesCluster
    nonisolated let leases: KubernetesLeases
    private var election: LeaderElection
    private var rng: PRNG
    private var version: LeaseVersion?
    private var task: Task<Void, Never>?
    private var watcher: Task<Void, Never>?
    /// Terms in which it led.
    private(set) var terms: [UInt64] = []
    /// When it began to lead for the last time.
    private(set) var began = Tick(nanoseconds: 0)
    private(set) var stepDowns: [LeaderElection.StepDownReason] = []
    private(set) var troubles: [StoreError] = []

    init(_ name: String, _ client: KubernetesClient, _ namespace: String, _ settings: ElectionSettings, seed: UInt64) {
        self.name = name
        cluster = KubernetesCluster(
            client: client, namespace: namespace, requestMilliseconds: settings.requestTimeout,
            confirmedMilliseconds: settings.renewDeadline)
        leases = KubernetesLeases(cluster, seed: seed)
        rng = PRNG(seed: seed)
        election = LeaderElection(
            identity: name, address: "\(name):7443", settings: settings, now: SystemClock.now())
    }

    var isLeading: Bool { election.isLeading(now: SystemClock.now()) }
    var fence: Fence? { election.leading(now: SystemClock.now()).map { Fence(holder: name, term: $0.term) } }

    func start() {
        task = Task {
            self.elect(.tick)
            while let due = self.election.nextTick {
                let now = SystemClock.now()
                let pause = due.nanoseconds > now.nanoseconds ? (due.nanoseconds - now.nanoseconds) / 1_000_000 : 0
                try? await Task.sleep(for: .milliseconds(Int64(min(max(pause, 1), 20))))
                if SystemClock.now() >= due { self.elect(.tick) }
            }
        }
        watcher = Task {
            while !Task.isCancelled {
                let isNews = await self.leases.waitForLeaseChange(since: self.version, milliseconds: 1_000)
                if isNews, !self.isLeading { self.elect(.changed) }
                try? await Task.sleep(for: .milliseconds(20))
            }
        }
    }

    /// Gives the lease back and ends.
    func stop() async {
        elect(.shutDown)
        await task?.value
        watcher?.cancel()
        await watcher?.value
        await leases.close()
        await cluster.client.shutdown()
    }

    private func elect(_ event: LeaderElection.Event) {
        for effect in election.handle(event, now: SystemClock.now(), rng: &rng) {
            switch effect {
            case .read(let id): Task { await self.read(id) }
            case .write(let id, let record, let version): Task { await self.write(id, record, version) }
            case .lead(let term):
                terms.append(term)
                began = SystemClock.now()
            case .stepDown(_, let reason): stepDowns.append(reason)
            case .follow, .finished: break
            }
        }
    }

    private func read(_ id: UInt64) async {
        do throws(StoreError) {
            let state = try await leases.readLease()
            version = state.stored?.version
            elect(.read(id: id, state))
        } catch {
            troubles.append(error)
            elect(.failed(id: id))
        }
    }

    private func write(_ id: UInt64, _ record: LeaseRecord, _ replacing: LeaseVersion?) async {
        do throws(StoreError) {
            guard let version = try await leases.writeLease(record, replacing: replacing) else {
                return elect(.conflict(id: id))
            }
            self.version = version
            elect(.wrote(id: id, version))
        } catch {
            troubles.append(error)
            elect(.failed(id: id))
        }
    }
}

import Coordinator
import ExportCore
import Formats
import KubernetesAPI
import Model
import Protocol

/// Around ``ListWatch`` in a simulated process what ``ObjectFeed`` is around it in a real one.
final class SimObjectFeed {
    private enum Ready {
        case output(ObjectFeed.Output)
        case page(id: UInt64, ObjectPage)
        case piece(id: UInt64, WatchPiece, taken: () -> Void)
    }

    private unowned let world: World
    private let node: SimNode
    private var machine: ListWatch
    private var rng: PRNG
    private var ready: [Ready] = []
    private var watch: SimWatch?
    private var isClosed = false
    private var health = FeedHealth()
    var standing: ObjectFeed.Standing { health.standing(node.tick) }

    init(world: World, node: SimNode) {
        self.world = world
        self.node = node
        rng = PRNG(seed: world.rng.next())
        var settings = ListWatch.Settings()
        (settings.firstPause, settings.longestPause, settings.watchSeconds) = (100, 1_000, 4..<9)
        machine = ListWatch(usesSelector: true, settings: settings, now: node.tick)
        handle(.tick)
    }

    func poll(pages: Bool) -> ObjectFeed.Output? {
        while let place = ready.firstIndex(where: { if case .page = $0 { pages } else { true } }) {
            switch ready.remove(at: place) {
            case .output(let output): return output
            case .page(let id, let page):
                guard machine.isCurrentList(id) else { continue }
                handle(.page(id: id, resourceVersion: page.resourceVersion, continueToken: page.continueToken))
                return .page(page)
            case .piece(let id, let piece, let taken):
                if let version = piece.resourceVersion { handle(.progress(id: id, resourceVersion: version)) }
                taken()
                if !piece.isOnlyBookmark { return .changes(piece) }
            }
        }
        return nil
    }

    func relist() { handle(.relist) }

    func close() {
        isClosed = true
        watch?.close()
    }

    private func handle(_ event: ListWatch.Event) {
        guard !isClosed else { return }
        for effect in machine.handle(event, now: node.tick, rng: &rng) { carryOut(effect) }
        guard let due = machine.nextTick else { return }
        let wait = due.nanoseconds > node.tick.nanoseconds ? due.nanoseconds - node.tick.nanoseconds : 0
        node.later(wait + World.millisecond) { if self.machine.nextTick == due { self.handle(.tick) } }
    }

    private func carryOut(_ effect: ListWatch.Effect) {
        world.note("\(node.name) reads: \(effect)")
        switch effect {
        case .restarted:
            ready.removeAll { if case .output = $0 { false } else { true } }
            ready.append(.output(.restarted))
        case .relisted:
            ready.removeAll { if case .page = $0 { true } else { false } }
            ready.append(.output(.relisted))
        case .listed: ready.append(.output(.listed))
        case .selectorUnknown:
            watch?.close()
            leaveWatch()
            ready.append(.output(.selectorUnknown))
        case .list(let id, let limit, let token, let usesSelector): list(id, limit, token, usesSelector)
        case .watch(let id, let version, let seconds, let usesSelector):
            watch?.close()
            leaveWatch()
            follow(id, version, seconds, usesSelector)
        }
    }

    private func list(_ id: UInt64, _ limit: Int, _ token: String?, _ usesSelector: Bool) {
        world.store.request(
            node, isOnce: true,
            { store in
                self.world.now < self.world.feedFailsUntil
                    ? .unknown : .done(store.objects.page(limit: limit, token: token, usesSelector: usesSelector))
            }
        ) { answer in
            guard !self.isClosed, self.machine.isCurrentList(id) else { return }
            switch answer {
            case .done(.success(let body)): self.arrived(id, body)
            case .done(.failure(let failure)): self.listFailed(id, failure)
            default: self.listFailed(id, APIFailure(.noAnswer, "no answer"))
            }
        }
    }

    private func arrived(_ id: UInt64, _ body: [UInt8]) {
        health.listed()
        do throws(APIObjectFault) {
            ready.append(.page(id: id, try ObjectPage(body)))
        } catch {
            world.checks.violate("the server's list cannot be read: \(error)")
        }
    }

    private func listFailed(_ id: UInt64, _ failure: APIFailure) {
        health.listFailed(node.tick)
        tell(failure)
        if world.plant == .endLongListsAtGone, case .expired = failure.kind {
            return handle(.page(id: id, resourceVersion: "\(world.store.objects.revision)", continueToken: nil))
        }
        handle(.listFailed(id: id, failure))
    }

    private func follow(_ id: UInt64, _ version: String, _ seconds: Int, _ usesSelector: Bool) {
        var from = UInt64(version) ?? 0
        world.store.request(
            node, isOnce: true,
            { (store) -> SimStore.Answer<Void> in
                if self.world.now < max(self.world.feedFailsUntil, store.objects.watchesFailUntil) { return .unknown }
                if self.world.plant == .watchOnAfterGone { from = max(from, store.objects.compacted) }
                return from < store.objects.compacted ? .refused : .done(())
            }
        ) { answer in
            guard !self.isClosed, self.machine.isCurrentWatch(id) else { return }
            switch answer {
            case .done: self.open(id, from, seconds, usesSelector)
            case .refused: self.watchEnded(id, APIFailure(.expired(continueToken: nil), "410 Gone"))
            case .unknown: self.watchEnded(id, APIFailure(.noAnswer, "no answer"))
            }
        }
    }

    private func open(_ id: UInt64, _ version: UInt64, _ seconds: Int, _ usesSelector: Bool) {
        let opened = SimWatch(world: world, node: node, from: version, seconds: seconds, usesSelector: usesSelector)
        var reader = WatchReader()
        opened.take = { bytes, taken in
            guard !self.isClosed, self.machine.isCurrentWatch(id) else { return opened.close() }
            do throws(APIObjectFault) {
                guard let piece = try reader.feed(bytes) else { return taken() }
                self.health.watchTold()
                self.ready.append(.piece(id: id, piece, taken: taken))
            } catch {
                self.world.checks.violate("the server's watch cannot be read: \(error)")
            }
        }
        opened.ended = { self.watchEnded(id, $0) }
        watch = opened
        health.watchOpened(node.tick)
    }

    private func leaveWatch() {
        health.watchLeft(node.tick)
        // As if the silence of one that was asked for said that nothing is there.
        if world.plant == .silentWatchIsFine { health.watchOpened(node.tick) }
    }

    private func watchEnded(_ id: UInt64, _ failure: APIFailure?) {
        guard !isClosed, machine.isCurrentWatch(id) else { return }
        health.watchEnded(isFailure: failure != nil && world.plant != .silentWatchIsFine, node.tick)
        if world.plant == .silentWatchIsFine { health.watchOpened(node.tick) }
        if let failure { tell(failure) }
        handle(.watchEnded(id: id, failure))
    }

    private func tell(_ failure: APIFailure) {
        ready.removeAll { if case .output(.trouble) = $0 { true } else { false } }
        ready.append(.output(.trouble(failure)))
    }
}

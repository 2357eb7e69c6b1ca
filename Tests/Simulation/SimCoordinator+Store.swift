import ExportCore
import Model
import Protocol

/// What a coordinator reads and writes for its gate, and its feed.
extension SimCoordinator {
    func perform(_ effect: ExportGate.Effect) {
        let (identity, term) = (identity, core?.term ?? 0)
        switch effect {
        case .readGate:
            world.store.request(self, { .done($0.gate) }) { answer in
                if case .done(let record) = answer {
                    self.handle(.gate(.gateRead(record)))
                } else {
                    self.handle(.gate(.gateUnreadable))
                }
            }
        case .readAlerts:
            world.store.request(self, { .done(Array($0.alerts.values).sorted { $0.name < $1.name }) }) { answer in
                if case .done(let list) = answer {
                    self.handle(.gate(.alertsRead(list)))
                } else {
                    self.handle(.gate(.alertUnreadable))
                }
            }
        case .writeGate(var record, let before):
            if world.plant == .gateStaysClosed, world.store.gate?.isOpen == false { record.holder = "" }
            guard tick < before else { return handle(.gate(.gateUnwritten(record.version))) }
            world.store.request(self, { [record] in $0.write(record, identity: identity, term: term) }) {
                [record] answer in
                switch answer {
                case .done(nil): self.handle(.gate(.gateWritten(record.version)))
                case .done(let stored?): self.handle(.gate(.gateRefused(stored: stored)))
                default: self.handle(.gate(.gateUnwritten(record.version)))
                }
            }
        case .raise(var alert):
            if world.plant == .alertPerLeader { alert.name += "-\(term)" }
            world.store.request(self, { [alert] in .done($0.raise(alert)) }) { answer in
                guard case .done(var found) = answer else { return self.handle(.gate(.alertUnreadable)) }
                if self.world.plant == .alertPerLeader { found.name = String(found.name.dropLast("-\(term)".count)) }
                self.handle(.gate(.alertRead(name: found.name, found)))
            }
        case .readAlert(let name):
            world.store.request(self, { .done($0.alerts[name]) }) { answer in
                guard case .done(var found) = answer else { return self.handle(.gate(.alertUnreadable)) }
                if self.world.plant == .openWithoutAcknowledgement, found != nil {
                    found?.acknowledged = true
                    found?.acknowledgedBy = "nobody"
                    found?.acknowledgedAt = "now"
                    found?.remediationAction = "none"
                }
                self.handle(.gate(.alertRead(name: name, found)))
            }
        case .record(let change):
            if change.isNews, world.plant == .tellOnlyStates { break }
            gateWord = (change.cause, tick)
        case .shun, .forgive, .outranked: break
        }
    }

    // MARK: Feed

    /// Reads on for every target that has room, each at its own pace.
    func feed() {
        if world.now < world.feedFailsUntil {
            // What it last said of what is left stays as it was.
            guard world.plant == .silentFeedIsFine else { return }
            return tellBacklog()
        }
        if hidden != world.hidden { readAnew() }
        for _ in 0..<8 {
            guard let core, isLeading else { return }
            var hasRoom = core.dispatch.hasRoom
            if world.plant == .waitForAllTargets, hasRoom.contains(false) { hasRoom = hasRoom.map { _ in false } }
            if world.plant == .feedWithoutRoom { hasRoom = hasRoom.map { _ in true } }
            let next = schedule.next(hasRoom: hasRoom) { $0.file < world.sources.count }
            guard let (ref, targets) = next else { break }
            let after = ref.offset == 0 ? ChunkRef(file: ref.file, offset: 1) : ChunkRef(file: ref.file + 1, offset: 0)
            schedule.advance(targets, to: after)
            let source = world.sources[ref.file]
            if hidden.contains(ref.file) || core.dispatch.index.isFinished(source.id) { continue }
            if world.plant == .loseAPage, ref.file == 1 { continue }
            let mask = TargetMask(bits: targets.reduce(0) { $0 | 1 << UInt32($1) })
            handle(.page(source.page(Int(ref.offset), for: mask, now: world.now)))
        }
        handle(.fed)
        tellBacklog()
    }

    /// Begins with the first file, and leaves out what cannot be read.
    func readAnew() {
        hidden = world.hidden
        schedule = FeedSchedule(starts: (0..<world.plan.targetCount).map { _ in ChunkRef(file: 0, offset: 0) })
    }

    private func tellBacklog() {
        if core?.dispatch.hasHints ?? false, world.plant != .waitForWhatCannotBeRead {
            let sources = world.sources.indices.filter { !hidden.contains($0) }.map { world.sources[$0].id }
            handle(.readable(ReadableSources(sources: Set(sources), isComplete: hidden.isEmpty)))
        }
        for target in 0..<world.plan.targetCount {
            let cursor = schedule.cursor(of: target)
            let rest = world.sources.dropFirst(cursor.file)
            if rest.isEmpty, hidden.isEmpty, world.now >= world.feedFailsUntil { handle(.passed(target: target)) }
            let records = rest.reduce(0) { $0 + UInt64($1.records.count) }
            let oldest = rest.first.map { (world.now - $0.bornAt) / World.millisecond }
            handle(.backlog(target: target, records: records, oldestMilliseconds: oldest))
        }
    }
}

import ExportCore
import Logging
import Model
import Threading

/// The gate's record and its alerts.
extension ClusterCoordinator {
    /// How often a standby looks at the gate, milliseconds.
    private static let lookMilliseconds: UInt64 = 1_000

    func perform(_ effect: ExportGate.Effect) {
        guard let term else { return }
        switch effect {
        case .shun(let worker, let target, let reason):
            log.warning(
                "worker shunned: it fails at a target where others succeed; its shards go to them",
                metadata: ["worker": "\(worker)", "target": "\(target)", "cause": "\(reason)"])
        case .forgive(let worker):
            log.notice("worker may have shards again", metadata: ["worker": "\(worker)"])
        case .record(let change): tell(change)
        case .outranked(let later, let isCredible): outranked(by: later, isCredible, term)
        case .readGate, .readAlerts, .writeGate, .raise, .readAlert:
            term.adopt { await self.answer(effect, term) }
        }
    }

    private func outranked(by later: UInt64, _ isCredible: Bool, _ term: LedTerm) {
        let about: Logger.Metadata = ["term": "\(term.number)", "later": "\(later)"]
        if isCredible {
            log.warning(
                "the gate's record is of a later term than ours: a term above it has to be led in", metadata: about)
        } else {
            log.error(
                "the gate's record is of a term that no leader can have had, so no probe is admitted; delete the record",
                metadata: about)
        }
    }

    private func tell(_ change: ExportGate.Transition) {
        metrics.changes(change)
        if gateChanges.count >= GateChange.most { gateChanges.removeFirst() }
        gateChanges.append(GateChange(change))
        var about: Logger.Metadata = [
            "from": "\(change.from.rawValue)", "to": "\(change.to.rawValue)", "cause": "\(change.cause)",
            "term": "\(change.term)",
        ]
        if let episode = change.episode { about["episode"] = "\(episode.term).\(episode.number)" }
        let isTrouble = change.to == .degraded || change.to == .halted
        log.log(level: isTrouble ? .error : .notice, "\(change)", metadata: about)
        guard stores.events != nil else { return }
        if let dropped = untold.add(change) {
            log.warning(
                "a change of the gate is not told as an event, for too many wait; it stands in this log",
                metadata: ["change": "\(dropped)", "term": "\(dropped.term)"])
        }
        eventSignal.signal()
    }

    /// Tells changes as events, one after the other, until the process ends: also those of a term that has ended, and whoever
    /// leads by then, for what was decided in it stays true.
    func tellEvents() async {
        guard let events = stores.events else { return }
        while !Task.isCancelled {
            guard let change = untold.next else {
                await eventSignal.wait()
                continue
            }
            do throws(StoreError) {
                try await events.tell(change, holder: settings.identity)
                untold.told(change)
            } catch {
                complain(
                    "a change of the gate cannot be told as an event yet, and is tried again: \(error.description)")
                let pause = untold.failed(change, isBusy: error.kind == .busy)
                try? await Task.sleep(for: .milliseconds(Int64(pause)))
            }
        }
    }

    /// The alert with the beginning of its episode, which its name knows, before everything else that it says.
    static func dated(_ alert: SystemAlert) -> SystemAlert {
        guard let since = Episode.named(alert.name)?.since else { return alert }
        var dated = alert
        dated.message = "Since \(GateChange.time(since)): \(alert.message)"
        return dated
    }

    private func answer(_ effect: ExportGate.Effect, _ term: LedTerm) async {
        let event = await ask(effect, term)
        guard isCurrent(term) else { return }
        handle(.gate(event))
    }

    /// Asks a store; its answer, or that there was none, as the gate takes it.
    private func ask(_ effect: ExportGate.Effect, _ term: LedTerm) async -> ExportGate.Event {
        let now = SystemClock.now()
        let mayAct = isCurrent(term) && election.isLeading(now: now)
        do throws(StoreError) {
            switch effect {
            case .readGate: return .gateRead(try await stores.gate.readGate())
            case .readAlerts: return .alertsRead(try await stores.alerts.readAlerts())
            case .readAlert(let name):
                let found = try await stores.alerts.readAlert(name: name)
                if let flaw = found?.acknowledgementFlaw {
                    complain("the alert \(name) does not count as acknowledged: \(flaw)")
                }
                return .alertRead(name: name, found)
            case .raise(let undated):
                guard mayAct else { return .alertUnreadable }
                let alert = Self.dated(undated)
                let found = try await stores.alerts.createAlert(alert, fence: term.fence)
                if found == alert {
                    log.error("alert raised", metadata: ["alert": "\(alert.name)", "text": "\(alert.message)"])
                }
                return .alertRead(name: found.name, found)
            case .writeGate(let record, let before):
                guard mayAct, now < before else { return .gateUnwritten(record.version) }
                guard let stored = try await stores.gate.writeGate(record, fence: term.fence, before: before) else {
                    return .gateWritten(record.version)
                }
                return .gateRefused(stored: stored)
            case .shun, .forgive, .record, .outranked: return .alertUnreadable
            }
        } catch {
            refused("the gate's store does not do what it is asked for", error, term)
            switch effect {
            case .readGate: return .gateUnreadable
            case .writeGate(let record, _): return .gateUnwritten(record.version)
            default: return .alertUnreadable
            }
        }
    }

    // MARK: Standby

    /// While another leads, looks at what the gate's record says; always, at what is recorded of its changes.
    func watchGate() async {
        while !Task.isCancelled {
            if term == nil {
                let record = try? await stores.gate.readGate()
                if term == nil {
                    let wall = UInt64(clamping: SystemClock.unixMilliseconds())
                    gateSight.saw(record, now: SystemClock.now(), wallMilliseconds: wall)
                }
            }
            if let recorded = try? await stores.events?.recorded() {
                gateChanges = GateChange.merged(recorded, gateChanges)
            }
            try? await Task.sleep(for: .milliseconds(Self.lookMilliseconds))
        }
    }
}

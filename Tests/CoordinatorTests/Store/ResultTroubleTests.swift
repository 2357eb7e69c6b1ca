import ExportCore
import Glibc
import Model
import Testing
import Threading

@testable import Coordinator

extension ResultDirectory {
    /// From here on it may read only what is everybody's.
    fileprivate func becomeNobody() { becomeForever(65_534) }
}

/// Results that cannot be read: they are not delivered, so nothing may look as if they were.
@Suite struct ResultTroubleTests {
    private let targets = ["a", "b"]
    private let room = [true, true]
    private let nothing = SourceBacklog(records: 0, oldestMilliseconds: nil)

    private func line(_ number: Int) -> [UInt8] { Array("{\"n\":\(number)}\n".utf8) }

    private func source(_ store: FileClusterStore) -> ResultDirectory {
        store.results(settled: SettledSources(targets: targets), shardCount: 16)
    }

    private struct Told {
        var files: [String] = []
        var passed: [Int] = []
        var notes: [String] = []
    }

    /// What comes, until `isEnough` or for a minute at most.
    private func listen(
        _ source: ResultDirectory, _ store: FileClusterStore, until isEnough: (Told) async -> Bool
    ) async throws -> Told {
        var told = Told()
        let deadline = SystemClock.now().adding(milliseconds: 60_000)
        while SystemClock.now() < deadline {
            while let event = try await source.next(hasRoom: room) {
                switch event {
                case .page(let page): told.files.append(store.names[page.source]?.file ?? "")
                case .passed(let target): told.passed.append(target)
                case .settled, .looked, .gone: Issue.record("\(event); of files the journal knows")
                case .note(let text): told.notes.append(text)
                }
            }
            if await isEnough(told) { return told }
            try await Task.sleep(for: .milliseconds(20))
        }
        Issue.record("waited in vain; so far \(told)")
        return told
    }

    /// Everything is read, and every target was told so.
    private func isIdle(_ source: ResultDirectory) async -> Bool {
        let backlog = await source.backlog()
        return backlog.allSatisfy { $0 == nothing }
    }

    @Test func aFileThatMayNotBeOpenedIsNotDelivered() async throws {
        try await withStoreDirectory { directory in
            let store = try FileClusterStore(directory: directory)
            put(line(1), at: directory + "/results/a.ndjson")
            let secret = directory + "/results/b.ndjson"
            put(line(2), at: secret)
            #expect(unsafe chmod(secret, 0) == 0)
            var times = [
                timeval(tv_sec: time(nil) - 3_600, tv_usec: 0), timeval(tv_sec: time(nil) - 3_600, tv_usec: 0),
            ]
            #expect(unsafe utimes(secret, &times) == 0)
            let source = source(store)
            await source.becomeNobody()
            let told = try await listen(source, store) { $0.files.count == 1 && $0.notes.count == 1 }
            #expect(told.files == ["a.ndjson"] && told.passed.isEmpty)
            #expect(told.notes.first?.contains("b.ndjson: Permission denied") ?? false, "\(told.notes)")
            for rest in await source.backlog() {
                #expect(rest.records == 1 && (3_600_000..<7_200_000).contains(rest.oldestMilliseconds ?? 0))
            }
            let inputs = await source.inputs()
            #expect(inputs.unread == 1 && inputs.trouble.contains("Permission denied"))
            #expect(unsafe chmod(secret, 0o644) == 0)
            let then = try await listen(source, store) { $0.passed.count == 2 }
            #expect(then.files == ["b.ndjson"] && then.notes.isEmpty)
            #expect(await isIdle(source))
            #expect(await source.inputs().trouble.isEmpty)
            await source.close()
            await store.close()
        }
    }

    /// It could be opened when it came, and not when its turn came.
    @Test func aFileThatIsForbiddenLaterIsNotDelivered() async throws {
        try await withStoreDirectory { directory in
            let store = try FileClusterStore(directory: directory)
            for name in ["a", "b"] { put(line(1), at: directory + "/results/\(name).ndjson") }
            let source = source(store)
            await source.becomeNobody()
            _ = try await source.next(hasRoom: [false, false])
            #expect(unsafe chmod(directory + "/results/b.ndjson", 0) == 0)
            let told = try await listen(source, store) { $0.files.count == 1 && $0.notes.count == 1 }
            #expect(told.files == ["a.ndjson"] && told.passed.isEmpty)
            #expect(await source.backlog().allSatisfy { $0.records == 1 })
            #expect(await source.inputs().unread == 1)
            #expect(unsafe unlink(directory + "/results/b.ndjson") == 0)
            let then = try await listen(source, store) { $0.passed.count == 2 }
            #expect(then.files.isEmpty && then.notes.count == 1)
            #expect(await isIdle(source))
            await source.close()
            await store.close()
        }
    }

    @Test func whatIsNoFileOrHasNoNameIsNotDelivered() async throws {
        try await withStoreDirectory { directory in
            let store = try FileClusterStore(directory: directory)
            let results = directory + "/results"
            let source = source(store)
            let strange: [CChar] =
                Array("\(results)/".utf8CString.dropLast()) + [CChar(bitPattern: 0xFF)]
                + Array(".ndjson".utf8CString)
            let makers: [(make: () -> Bool, remove: () -> Bool, about: String)] = [
                (
                    { unsafe symlink("nowhere", results + "/l.ndjson") == 0 },
                    { unsafe unlink(results + "/l.ndjson") == 0 }, "l.ndjson is no regular file"
                ),
                (
                    { unsafe mkdir(results + "/d.ndjson", 0o755) == 0 },
                    { unsafe rmdir(results + "/d.ndjson") == 0 }, "d.ndjson is no regular file"
                ),
                (
                    {
                        let made = unsafe open(strange, O_WRONLY | O_CREAT | O_CLOEXEC, 0o644)
                        return made >= 0 && close(made) == 0
                    }, { unsafe unlink(strange) == 0 }, "the name is not UTF-8"
                ),
            ]
            _ = try await listen(source, store) { $0.passed.count == 2 }
            for maker in makers {
                #expect(maker.make())
                put(line(1), at: results + "/\(UInt64.random(in: 0 ... .max)).ndjson")
                let told = try await listen(source, store) { $0.files.count == 1 && $0.notes.count == 1 }
                #expect(told.passed.isEmpty && told.notes.first?.contains(maker.about) ?? false, "\(told)")
                #expect(await source.backlog().allSatisfy { $0.records == 1 })
                let young = await source.backlog()[0].oldestMilliseconds ?? .max
                let older = try await listen(source, store) { _ in
                    await source.backlog()[0].oldestMilliseconds ?? 0 > young
                }
                #expect(older.passed.isEmpty && older.notes.isEmpty)
                #expect(maker.remove())
                let then = try await listen(source, store) { $0.passed.count == 2 }
                #expect(then.files.isEmpty)
                #expect(await isIdle(source))
            }
            await source.close()
            await store.close()
        }
    }

    @Test func aDirectoryThatCannotBeListedHoldsWhatNobodyKnows() async throws {
        try await withStoreDirectory { directory in
            let store = try FileClusterStore(directory: directory)
            let source = source(store)
            _ = try await listen(source, store) { $0.passed.count == 2 }
            #expect(await isIdle(source))
            #expect(unsafe rename(directory + "/results", directory + "/away") == 0)
            put(line(1), at: directory + "/away/a.ndjson")
            await until("listing fails") {
                do { _ = try await source.next(hasRoom: room) } catch { return true }
                return false
            }
            let young = await source.backlog()
            #expect(young.allSatisfy { $0.records == 1 && $0.oldestMilliseconds != nil })
            #expect(await source.inputs().trouble.contains("cannot list \(directory)/results"))
            await until("it waits for longer and longer") {
                _ = try? await source.next(hasRoom: room)
                return await source.backlog()[0].oldestMilliseconds ?? 0 > young[0].oldestMilliseconds ?? .max
            }
            #expect(unsafe rename(directory + "/away", directory + "/results") == 0)
            await until("it can be listed again") {
                _ = try? await source.next(hasRoom: [false, false])
                return await source.inputs().trouble.isEmpty
            }
            let told = try await listen(source, store) { $0.passed.count == 2 }
            #expect(told.files == ["a.ndjson"])
            #expect(await isIdle(source))
            await source.close()
            await store.close()
        }
    }

    /// More files than one look takes in hand: another one under a name, and one that was changed where it lies.
    @Test func aFileThatChangesAmongMany() async throws {
        try await withStoreDirectory { directory in
            let store = try FileClusterStore(directory: directory)
            let count = 3 * ResultNames.slice
            for number in 0..<count { put(line(number), at: directory + "/results/\(number).ndjson") }
            let source = source(store)
            _ = try await listen(source, store) { $0.files.count == count && $0.passed.count == 2 }
            put(line(-1), at: directory + "/results/7.ndjson")
            let replaced = try await listen(source, store) { $0.files.count == 1 && $0.notes.count == 1 }
            #expect(replaced.files == ["7.ndjson"] && replaced.notes[0].contains("7.ndjson changed"))
            let changed = unsafe open(directory + "/results/8.ndjson", O_WRONLY | O_APPEND | O_CLOEXEC)
            #expect(unsafe write(changed, line(-2), line(-2).count) > 0)
            close(changed)
            put(line(-3), at: directory + "/results/new.ndjson")
            let told = try await listen(source, store) { $0.files.count == 2 && $0.notes.count == 1 }
            #expect(Set(told.files) == ["8.ndjson", "new.ndjson"] && told.notes[0].contains("8.ndjson changed"))
            // Removed ones are told only if something was left in them.
            for number in 0..<10 { #expect(unsafe unlink(directory + "/results/\(number).ndjson") == 0) }
            let gone = try await listen(source, store) { $0.notes.count == 10 }
            #expect(gone.notes.allSatisfy { $0.contains("was removed before") })
            #expect(await source.held <= count - 9 + 32)
            await source.close()
            await store.close()
        }
    }
}

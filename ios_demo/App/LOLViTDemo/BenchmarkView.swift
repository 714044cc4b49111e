import DemoState
import SwiftUI

/// Two models, measured in turns: the choices, the progress, the result.
struct BenchmarkView: View {
    @ObservedObject var benchmark: ObservedBenchmark

    private var screen: BenchmarkScreen { benchmark.screen }
    private var session: BenchmarkSession { benchmark.session }

    var body: some View {
        Form {
            Section {
                Text(.benchmarkExplained)
                if let obstacle = screen.obstacle { Text(obstacle) }
            }
            if !screen.isRunning { choices }
            run
            if let problem = screen.problem {
                Section { ProblemView(problem: problem, tryAgain: session.run) }
            }
            if let result = screen.result { ComparisonSection(result: result, file: screen.file) }
        }
        .navigationTitle(Text(.benchmark))
        .onAppear {
            session.start()
            UIApplication.shared.isIdleTimerDisabled = true
        }
        .onDisappear {
            session.cancel()
            UIApplication.shared.isIdleTimerDisabled = false
        }
    }

    @ViewBuilder private var choices: some View {
        Section {
            picker(.benchmarkCandidate, screen.candidateID) {
                session.choose(candidate: $0, baseline: screen.baselineID)
            }
            picker(.benchmarkBaseline, screen.baselineID) {
                session.choose(candidate: screen.candidateID, baseline: $0)
            }
        }
        Section {
            ForEach(screen.engines) { engine in
                ChoiceRow(
                    title: engine.choice.name.text, detail: engine.reason?.text,
                    isChosen: engine.id == screen.engineID, isEnabled: engine.reason == nil
                ) { session.choose(engine: engine.id) }
            }
        } header: {
            Text(.engine)
        }
    }

    private func picker(
        _ title: Words, _ chosen: ModelEntry.ID?, _ choose: @escaping @MainActor (ModelEntry.ID?) -> Void
    ) -> some View {
        Picker(selection: Binding(get: { chosen }, set: choose)) {
            ForEach(screen.models) { model in
                Text(verbatim: "\(model.title), \(model.detail.text)").tag(Optional(model.id))
            }
        } label: {
            Text(title)
        }
    }

    private var run: some View {
        Section {
            if let progress = screen.progress {
                ProgressView(value: screen.share) { Text(progress) }
                Button(role: .cancel, action: session.cancel) { Text(.cancel) }
            } else {
                Button(action: session.run) { Text(.benchmarkStart) }
                    .disabled(screen.obstacle != nil)
            }
        }
    }
}

/// The speedup with its interval and quality, both latencies, and the JSON to share.
private struct ComparisonSection: View {
    let result: ShownComparison
    let file: URL?

    var body: some View {
        Section {
            Text(result.headline).font(.headline)
            Text(result.interval)
            Text(result.quality)
            ForEach(result.findings, id: \.self) { Text(verbatim: $0) }
            ForEach(result.latencies + result.placements, id: \.text) { Text($0) }
            if let state = result.thermalState { Text(state) }
            ForEach(result.notes, id: \.self) { Text(verbatim: $0).font(.footnote) }
            if let file {
                ShareLink(item: file) {
                    Label(.benchmarkShare, systemImage: "square.and.arrow.up")
                }
            }
        } header: {
            Text(.result)
        }
    }
}

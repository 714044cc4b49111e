package org.lolvit.demo.benchmark

import android.view.View
import android.widget.AdapterView
import android.widget.ArrayAdapter
import android.widget.CheckBox
import android.widget.Spinner
import android.widget.TextView
import org.lolvit.demo.R
import org.lolvit.demo.child
import org.lolvit.demo.describe
import org.lolvit.demo.showIf

/** What is chosen on the screen; kept by the session, so that a rotated screen shows the same. */
internal class Chosen(var first: Int = 0, var second: Int = 1, var engine: String? = null, var threads: Int = 1) {
    var sustained = false
}

/** The choices of the benchmark screen: two models, an engine that runs both, and threads. */
internal class BenchmarkForm(
    root: View,
    private val models: List<BenchmarkModel>,
    private val chosen: Chosen,
    private val onChange: () -> Unit,
) {
    private val engine = root.child<Spinner>(R.id.benchmark_engine)
    private val missing = root.child<TextView>(R.id.benchmark_missing)
    private var engines = SharedEngines(models[chosen.first], models[chosen.second])

    init {
        val titles = models.map { it.title }
        fill(root.child(R.id.benchmark_first), titles, chosen.first) { chosen.first = it }
        fill(root.child(R.id.benchmark_second), titles, chosen.second) { chosen.second = it }
        val counts = threadCounts()
        fill(root.child(R.id.benchmark_threads), counts.map(Int::toString), counts.indexOf(chosen.threads)) {
            chosen.threads = counts[it]
        }
        root.child<CheckBox>(R.id.benchmark_sustained).apply {
            isChecked = chosen.sustained
            setOnCheckedChangeListener { _, checked -> chosen.sustained = checked }
        }
        showEngines()
    }

    /** What to measure; null where the choices don't make a comparison. */
    fun plan(): BenchmarkPlan? {
        val choice = engines.usable.find { it.id == chosen.engine } ?: engines.usable.firstOrNull()
        if (choice == null || chosen.first == chosen.second) return null
        val seconds = if (chosen.sustained) SUSTAINED_SECONDS else 0.0
        return BenchmarkPlan(models[chosen.first], models[chosen.second], choice, chosen.threads, seconds)
    }

    private fun fill(spinner: Spinner, titles: List<String>, selected: Int, choose: (Int) -> Unit) {
        val adapter = ArrayAdapter(spinner.context, android.R.layout.simple_spinner_item, titles)
        adapter.setDropDownViewResource(android.R.layout.simple_spinner_dropdown_item)
        spinner.adapter = adapter
        spinner.setSelection(selected.coerceAtLeast(0))
        spinner.onItemSelectedListener = object : AdapterView.OnItemSelectedListener {
            override fun onItemSelected(parent: AdapterView<*>?, view: View?, position: Int, id: Long) {
                choose(position)
                if (spinner !== engine) showEngines()
                onChange()
            }

            override fun onNothingSelected(parent: AdapterView<*>?) = Unit
        }
    }

    private fun showEngines() {
        engines = SharedEngines(models[chosen.first], models[chosen.second])
        val ids = engines.usable.map { it.id }
        fill(engine, engines.usable.map { it.title }, ids.indexOf(chosen.engine)) { chosen.engine = ids[it] }
        val resources = missing.resources
        val reasons = engines.missing.map {
            resources.getString(R.string.benchmark_missing, it.title, it.missing?.let(missing.context::describe))
        }
        val none = listOfNotNull(resources.getString(R.string.benchmark_no_engine).takeIf { ids.isEmpty() })
        val same = listOfNotNull(resources.getString(R.string.benchmark_same).takeIf { chosen.first == chosen.second })
        missing.text = (same + none + reasons).joinToString("\n")
        missing.showIf(missing.text.isNotEmpty())
    }

    /** One thread, and the powers of two up to the cores. */
    private fun threadCounts(): List<Int> {
        val cores = Runtime.getRuntime().availableProcessors()
        return generateSequence(1) { it * 2 }.takeWhile { it <= cores }.toList()
    }

    private companion object {
        private const val SUSTAINED_SECONDS = 60.0
    }
}

package org.lolvit.demo

import android.app.Activity
import android.os.Bundle
import android.widget.TextView

/** Names the packaged models. */
class MainActivity : Activity() {
    override fun onCreate(state: Bundle?) {
        super.onCreate(state)
        setContentView(R.layout.main)
        findViewById<TextView>(R.id.models)?.text = assets.list("lolvit").orEmpty().joinToString("\n")
    }
}

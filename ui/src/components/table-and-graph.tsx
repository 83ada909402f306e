import type { ReactNode } from 'react'
import { Tab, TabList, TabPanel, Tabs } from 'react-aria-components'

export type View = 'table' | 'flame'

/** The functions beside their graph; on a narrow screen they take turns. */
export function TableAndGraph({
  table,
  graph,
  isWide,
  isWideTable = false,
  isStale,
  view,
  onView,
}: {
  table: ReactNode
  graph: ReactNode
  isWide: boolean
  /** A table of many columns. */
  isWideTable?: boolean
  isStale: boolean
  view: View
  onView(view: View): void
}) {
  return (
    <div aria-busy={isStale} className="flex shrink-0 wide:min-h-0 wide:flex-1 wide:shrink">
      {isWide ? (
        <>
          <section
            aria-label="Functions"
            className={`${isWideTable ? 'w-[46%]' : 'w-[36%]'} min-w-0 shrink-0 border-r border-line bg-panel`}
          >
            {table}
          </section>
          <section aria-label="Flame graph" className="min-w-0 flex-1 bg-panel px-2 pb-1">
            {graph}
          </section>
        </>
      ) : (
        <Tabs
          selectedKey={view}
          onSelectionChange={key => onView(key === 'table' ? 'table' : 'flame')}
          className="flex min-w-0 flex-1 flex-col bg-panel"
        >
          <TabList aria-label="View" className="flex border-b border-line px-2">
            <ViewTab id="flame">Flame graph</ViewTab>
            <ViewTab id="table">Functions</ViewTab>
          </TabList>
          <TabPanel id="flame" className="h-[60vh] px-1">
            {graph}
          </TabPanel>
          <TabPanel id="table" className="h-[60vh]">
            {table}
          </TabPanel>
        </Tabs>
      )}
    </div>
  )
}

function ViewTab({ id, children }: { id: View; children: string }) {
  return (
    <Tab
      id={id}
      className="cursor-pointer border-b-2 border-transparent px-3 py-1.5 text-muted outline-offset-[-2px] data-[selected]:border-accent data-[selected]:font-medium data-[selected]:text-ink"
    >
      {children}
    </Tab>
  )
}
